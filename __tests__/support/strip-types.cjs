'use strict';

// Jest runs each TypeScript file through this: Node's own type stripping, so that tests and mocks
// run the sources as Node does, with no compiler of their own.
const { stripTypeScriptTypes } = require('node:module');

exports.process = (source) => ({ code: stripTypeScriptTypes(source) });
