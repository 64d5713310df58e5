'use strict';

// The step finds itself on a Node that is too old for it.
Object.defineProperty(process, 'version', { value: 'v18.20.8' });
Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '18.20.8' } });
