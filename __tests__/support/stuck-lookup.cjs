'use strict';

// Keeps a thread of libuv's pool busy, as a name lookup does that gets no answer, and which process.exit() waits for: for
// long, or as TEST_LOOKUP_ROUNDS says.
const rounds = Number(process.env.TEST_LOOKUP_ROUNDS ?? 200_000_000);
require('node:crypto').pbkdf2('a', 'b', rounds, 64, 'sha512', () => undefined);
process.getActiveResourcesInfo = () => ['GetAddrInfoReqWrap'];
