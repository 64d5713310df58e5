// The real package loads Node's assert module, and only a proxy needs it.
exports.httpOverHttp = (options) => require('tunnel-itself').httpOverHttp(options);
exports.httpsOverHttp = (options) => require('tunnel-itself').httpsOverHttp(options);
exports.httpOverHttps = (options) => require('tunnel-itself').httpOverHttps(options);
exports.httpsOverHttps = (options) => require('tunnel-itself').httpsOverHttps(options);
