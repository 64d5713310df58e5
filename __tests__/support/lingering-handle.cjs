'use strict';

// Keeps the process alive, as a name lookup does that gets no answer.
setInterval(() => undefined, 1_000);
