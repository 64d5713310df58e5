'use strict';

// In the process that the mock Dashboard's main step starts, and in no other: keeps a connection to the test, which so
// learns its pid and sees it end, and does what TEST_BACKGROUND says.
if (process.send !== undefined) {
  const net = require('node:net');
  const socket = net.connect(Number(process.env.TEST_PORT), '127.0.0.1').unref();
  const isKnown = new Promise((resolve) => socket.write(String(process.pid), resolve));

  const HOUR_MS = 3_600_000;
  const { setTimeout } = globalThis;
  const main = process.ppid;
  const cancelMain = () => process.kill(main, 'SIGINT');
  const send = process.send.bind(process);
  const sendWith = (action) => {
    process.send = (...parameters) => void isKnown.then(() => action(...parameters));
  };
  const listenWith = (action) => {
    net.Server.prototype.listen = function () {
      isKnown.then(() => action(this));
      return this;
    };
  };

  const behaviours = {
    'has no port': () =>
      listenWith((server) => server.emit('error', new Error('listen EADDRNOTAVAIL: address not available 127.0.0.1'))),
    'ends at once': () => sendWith(() => process.exit(3)),
    'cancels main before it listens': () => listenWith(cancelMain),
    'cancels main when it listens': () => sendWith(cancelMain),
    'cancels main after telling it where it listens': () =>
      sendWith((...parameters) => {
        send(...parameters);
        cancelMain();
      }),
    // Timers of hours are up when the test writes.
    'has no time': () => {
      globalThis.setTimeout = (callback, ms) => {
        if (ms >= HOUR_MS) socket.once('data', callback);
        return setTimeout(callback, ms);
      };
    },
  };
  sendWith(send);
  behaviours[process.env.TEST_BACKGROUND]?.();
}
