'use strict';

// Keeps a thread of libuv's pool busy for long, as a name lookup does that gets no answer, and which
// process.exit() waits for.
require('node:crypto').pbkdf2('a', 'b', 40_000_000, 64, 'sha512', () => undefined);
process.getActiveResourcesInfo = () => ['GetAddrInfoReqWrap'];
