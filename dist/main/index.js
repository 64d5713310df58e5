/******/ (() => { // webpackBootstrap
/******/ 	var __webpack_modules__ = ({

/***/ 482:
/***/ ((module, __unused_webpack_exports, __nccwpck_require__) => {

module.exports = __nccwpck_require__(562);


/***/ }),

/***/ 562:
/***/ ((__unused_webpack_module, exports, __nccwpck_require__) => {

"use strict";


var net = __nccwpck_require__(278);
var tls = __nccwpck_require__(756);
var http = __nccwpck_require__(611);
var https = __nccwpck_require__(692);
var events = __nccwpck_require__(434);
var assert = __nccwpck_require__(613);
var util = __nccwpck_require__(23);


exports.httpOverHttp = httpOverHttp;
exports.httpsOverHttp = httpsOverHttp;
exports.httpOverHttps = httpOverHttps;
exports.httpsOverHttps = httpsOverHttps;


function httpOverHttp(options) {
  var agent = new TunnelingAgent(options);
  agent.request = http.request;
  return agent;
}

function httpsOverHttp(options) {
  var agent = new TunnelingAgent(options);
  agent.request = http.request;
  agent.createSocket = createSecureSocket;
  agent.defaultPort = 443;
  return agent;
}

function httpOverHttps(options) {
  var agent = new TunnelingAgent(options);
  agent.request = https.request;
  return agent;
}

function httpsOverHttps(options) {
  var agent = new TunnelingAgent(options);
  agent.request = https.request;
  agent.createSocket = createSecureSocket;
  agent.defaultPort = 443;
  return agent;
}


function TunnelingAgent(options) {
  var self = this;
  self.options = options || {};
  self.proxyOptions = self.options.proxy || {};
  self.maxSockets = self.options.maxSockets || http.Agent.defaultMaxSockets;
  self.requests = [];
  self.sockets = [];

  self.on('free', function onFree(socket, host, port, localAddress) {
    var options = toOptions(host, port, localAddress);
    for (var i = 0, len = self.requests.length; i < len; ++i) {
      var pending = self.requests[i];
      if (pending.host === options.host && pending.port === options.port) {
        // Detect the request to connect same origin server,
        // reuse the connection.
        self.requests.splice(i, 1);
        pending.request.onSocket(socket);
        return;
      }
    }
    socket.destroy();
    self.removeSocket(socket);
  });
}
util.inherits(TunnelingAgent, events.EventEmitter);

TunnelingAgent.prototype.addRequest = function addRequest(req, host, port, localAddress) {
  var self = this;
  var options = mergeOptions({request: req}, self.options, toOptions(host, port, localAddress));

  if (self.sockets.length >= this.maxSockets) {
    // We are over limit so we'll add it to the queue.
    self.requests.push(options);
    return;
  }

  // If we are under maxSockets create a new one.
  self.createSocket(options, function(socket) {
    socket.on('free', onFree);
    socket.on('close', onCloseOrRemove);
    socket.on('agentRemove', onCloseOrRemove);
    req.onSocket(socket);

    function onFree() {
      self.emit('free', socket, options);
    }

    function onCloseOrRemove(err) {
      self.removeSocket(socket);
      socket.removeListener('free', onFree);
      socket.removeListener('close', onCloseOrRemove);
      socket.removeListener('agentRemove', onCloseOrRemove);
    }
  });
};

TunnelingAgent.prototype.createSocket = function createSocket(options, cb) {
  var self = this;
  var placeholder = {};
  self.sockets.push(placeholder);

  var connectOptions = mergeOptions({}, self.proxyOptions, {
    method: 'CONNECT',
    path: options.host + ':' + options.port,
    agent: false,
    headers: {
      host: options.host + ':' + options.port
    }
  });
  if (options.localAddress) {
    connectOptions.localAddress = options.localAddress;
  }
  if (connectOptions.proxyAuth) {
    connectOptions.headers = connectOptions.headers || {};
    connectOptions.headers['Proxy-Authorization'] = 'Basic ' +
        new Buffer(connectOptions.proxyAuth).toString('base64');
  }

  debug('making CONNECT request');
  var connectReq = self.request(connectOptions);
  connectReq.useChunkedEncodingByDefault = false; // for v0.6
  connectReq.once('response', onResponse); // for v0.6
  connectReq.once('upgrade', onUpgrade);   // for v0.6
  connectReq.once('connect', onConnect);   // for v0.7 or later
  connectReq.once('error', onError);
  connectReq.end();

  function onResponse(res) {
    // Very hacky. This is necessary to avoid http-parser leaks.
    res.upgrade = true;
  }

  function onUpgrade(res, socket, head) {
    // Hacky.
    process.nextTick(function() {
      onConnect(res, socket, head);
    });
  }

  function onConnect(res, socket, head) {
    connectReq.removeAllListeners();
    socket.removeAllListeners();

    if (res.statusCode !== 200) {
      debug('tunneling socket could not be established, statusCode=%d',
        res.statusCode);
      socket.destroy();
      var error = new Error('tunneling socket could not be established, ' +
        'statusCode=' + res.statusCode);
      error.code = 'ECONNRESET';
      options.request.emit('error', error);
      self.removeSocket(placeholder);
      return;
    }
    if (head.length > 0) {
      debug('got illegal response body from proxy');
      socket.destroy();
      var error = new Error('got illegal response body from proxy');
      error.code = 'ECONNRESET';
      options.request.emit('error', error);
      self.removeSocket(placeholder);
      return;
    }
    debug('tunneling connection has established');
    self.sockets[self.sockets.indexOf(placeholder)] = socket;
    return cb(socket);
  }

  function onError(cause) {
    connectReq.removeAllListeners();

    debug('tunneling socket could not be established, cause=%s\n',
          cause.message, cause.stack);
    var error = new Error('tunneling socket could not be established, ' +
                          'cause=' + cause.message);
    error.code = 'ECONNRESET';
    options.request.emit('error', error);
    self.removeSocket(placeholder);
  }
};

TunnelingAgent.prototype.removeSocket = function removeSocket(socket) {
  var pos = this.sockets.indexOf(socket)
  if (pos === -1) {
    return;
  }
  this.sockets.splice(pos, 1);

  var pending = this.requests.shift();
  if (pending) {
    // If we have pending requests and a socket gets closed a new one
    // needs to be created to take over in the pool for the one that closed.
    this.createSocket(pending, function(socket) {
      pending.request.onSocket(socket);
    });
  }
};

function createSecureSocket(options, cb) {
  var self = this;
  TunnelingAgent.prototype.createSocket.call(self, options, function(socket) {
    var hostHeader = options.request.getHeader('host');
    var tlsOptions = mergeOptions({}, self.options, {
      socket: socket,
      servername: hostHeader ? hostHeader.replace(/:.*$/, '') : options.host
    });

    // 0 is dummy port for v0.6
    var secureSocket = tls.connect(0, tlsOptions);
    self.sockets[self.sockets.indexOf(socket)] = secureSocket;
    cb(secureSocket);
  });
}


function toOptions(host, port, localAddress) {
  if (typeof host === 'string') { // since v0.10
    return {
      host: host,
      port: port,
      localAddress: localAddress
    };
  }
  return host; // for v0.11 or later
}

function mergeOptions(target) {
  for (var i = 1, len = arguments.length; i < len; ++i) {
    var overrides = arguments[i];
    if (typeof overrides === 'object') {
      var keys = Object.keys(overrides);
      for (var j = 0, keyLen = keys.length; j < keyLen; ++j) {
        var k = keys[j];
        if (overrides[k] !== undefined) {
          target[k] = overrides[k];
        }
      }
    }
  }
  return target;
}


var debug;
if (process.env.NODE_DEBUG && /\btunnel\b/.test(process.env.NODE_DEBUG)) {
  debug = function() {
    var args = Array.prototype.slice.call(arguments);
    if (typeof args[0] === 'string') {
      args[0] = 'TUNNEL: ' + args[0];
    } else {
      args.unshift('TUNNEL:');
    }
    console.error.apply(console, args);
  }
} else {
  debug = function() {};
}
exports.debug = debug; // for test


/***/ }),

/***/ 537:
/***/ ((__unused_webpack_module, exports, __nccwpck_require__) => {

// The real package loads Node's assert module, and only a proxy needs it.
exports.xj = (options) => (__nccwpck_require__(482).httpOverHttp)(options);
exports.I9 = (options) => (__nccwpck_require__(482).httpsOverHttp)(options);
exports.aQ = (options) => (__nccwpck_require__(482).httpOverHttps)(options);
exports.vX = (options) => (__nccwpck_require__(482).httpsOverHttps)(options);


/***/ }),

/***/ 227:
/***/ ((__unused_webpack_module, exports) => {

// @actions/http-client imports this one class, for a method that this action never calls.
exports.k = function ProxyAgent() {
  throw new Error(
    'undici is left out of this bundle: HttpClient.getAgentDispatcher() can not be used here.',
  );
};


/***/ }),

/***/ 613:
/***/ ((module) => {

"use strict";
module.exports = require("assert");

/***/ }),

/***/ 434:
/***/ ((module) => {

"use strict";
module.exports = require("events");

/***/ }),

/***/ 611:
/***/ ((module) => {

"use strict";
module.exports = require("http");

/***/ }),

/***/ 692:
/***/ ((module) => {

"use strict";
module.exports = require("https");

/***/ }),

/***/ 278:
/***/ ((module) => {

"use strict";
module.exports = require("net");

/***/ }),

/***/ 756:
/***/ ((module) => {

"use strict";
module.exports = require("tls");

/***/ }),

/***/ 23:
/***/ ((module) => {

"use strict";
module.exports = require("util");

/***/ })

/******/ 	});
/************************************************************************/
/******/ 	// The module cache
/******/ 	var __webpack_module_cache__ = {};
/******/ 	
/******/ 	// The require function
/******/ 	function __nccwpck_require__(moduleId) {
/******/ 		// Check if module is in cache
/******/ 		var cachedModule = __webpack_module_cache__[moduleId];
/******/ 		if (cachedModule !== undefined) {
/******/ 			return cachedModule.exports;
/******/ 		}
/******/ 		// Create a new module (and put it into the cache)
/******/ 		var module = __webpack_module_cache__[moduleId] = {
/******/ 			// no module.id needed
/******/ 			// no module.loaded needed
/******/ 			exports: {}
/******/ 		};
/******/ 	
/******/ 		// Execute the module function
/******/ 		var threw = true;
/******/ 		try {
/******/ 			__webpack_modules__[moduleId](module, module.exports, __nccwpck_require__);
/******/ 			threw = false;
/******/ 		} finally {
/******/ 			if(threw) delete __webpack_module_cache__[moduleId];
/******/ 		}
/******/ 	
/******/ 		// Return the exports of the module
/******/ 		return module.exports;
/******/ 	}
/******/ 	
/************************************************************************/
/******/ 	/* webpack/runtime/asset-relocator-loader */
/******/ 	if (typeof __nccwpck_require__ !== 'undefined') __nccwpck_require__.ab = __dirname + "/";
/******/ 	
/******/ 	/* webpack/runtime/create fake namespace object */
/******/ 	(() => {
/******/ 		var getProto = Object.getPrototypeOf ? (obj) => (Object.getPrototypeOf(obj)) : (obj) => (obj.__proto__);
/******/ 		var leafPrototypes;
/******/ 		// create a fake namespace object
/******/ 		// mode & 1: value is a module id, require it
/******/ 		// mode & 2: merge all properties of value into the ns
/******/ 		// mode & 4: return value when already ns object
/******/ 		// mode & 16: return value when it's Promise-like
/******/ 		// mode & 8|1: behave like require
/******/ 		__nccwpck_require__.t = function(value, mode) {
/******/ 			if(mode & 1) value = this(value);
/******/ 			if(mode & 8) return value;
/******/ 			if(typeof value === 'object' && value) {
/******/ 				if((mode & 4) && value.__esModule) return value;
/******/ 				if((mode & 16) && typeof value.then === 'function') return value;
/******/ 			}
/******/ 			var ns = Object.create(null);
/******/ 			__nccwpck_require__.r(ns);
/******/ 			var def = {};
/******/ 			leafPrototypes = leafPrototypes || [null, getProto({}), getProto([]), getProto(getProto)];
/******/ 			for(var current = mode & 2 && value; typeof current == 'object' && !~leafPrototypes.indexOf(current); current = getProto(current)) {
/******/ 				Object.getOwnPropertyNames(current).forEach((key) => (def[key] = () => (value[key])));
/******/ 			}
/******/ 			def['default'] = () => (value);
/******/ 			__nccwpck_require__.d(ns, def);
/******/ 			return ns;
/******/ 		};
/******/ 	})();
/******/ 	
/******/ 	/* webpack/runtime/define property getters */
/******/ 	(() => {
/******/ 		// define getter functions for harmony exports
/******/ 		__nccwpck_require__.d = (exports, definition) => {
/******/ 			for(var key in definition) {
/******/ 				if(__nccwpck_require__.o(definition, key) && !__nccwpck_require__.o(exports, key)) {
/******/ 					Object.defineProperty(exports, key, { enumerable: true, get: definition[key] });
/******/ 				}
/******/ 			}
/******/ 		};
/******/ 	})();
/******/ 	
/******/ 	/* webpack/runtime/hasOwnProperty shorthand */
/******/ 	(() => {
/******/ 		__nccwpck_require__.o = (obj, prop) => (Object.prototype.hasOwnProperty.call(obj, prop))
/******/ 	})();
/******/ 	
/******/ 	/* webpack/runtime/make namespace object */
/******/ 	(() => {
/******/ 		// define __esModule on exports
/******/ 		__nccwpck_require__.r = (exports) => {
/******/ 			if(typeof Symbol !== 'undefined' && Symbol.toStringTag) {
/******/ 				Object.defineProperty(exports, Symbol.toStringTag, { value: 'Module' });
/******/ 			}
/******/ 			Object.defineProperty(exports, '__esModule', { value: true });
/******/ 		};
/******/ 	})();
/******/ 	
/************************************************************************/
var __webpack_exports__ = {};
// This entry need to be wrapped in an IIFE because it need to be in strict mode.
(() => {
"use strict";

// EXTERNAL MODULE: external "http"
var external_http_ = __nccwpck_require__(611);
var external_http_namespaceObject = /*#__PURE__*/__nccwpck_require__.t(external_http_, 2);
// EXTERNAL MODULE: external "https"
var external_https_ = __nccwpck_require__(692);
var external_https_namespaceObject = /*#__PURE__*/__nccwpck_require__.t(external_https_, 2);
;// CONCATENATED MODULE: ./node_modules/@actions/http-client/lib/proxy.js
function getProxyUrl(reqUrl) {
    const usingSsl = reqUrl.protocol === 'https:';
    if (checkBypass(reqUrl)) {
        return undefined;
    }
    const proxyVar = (() => {
        if (usingSsl) {
            return process.env['https_proxy'] || process.env['HTTPS_PROXY'];
        }
        else {
            return process.env['http_proxy'] || process.env['HTTP_PROXY'];
        }
    })();
    if (proxyVar) {
        try {
            return new DecodedURL(proxyVar);
        }
        catch (_a) {
            if (!proxyVar.startsWith('http://') && !proxyVar.startsWith('https://'))
                return new DecodedURL(`http://${proxyVar}`);
        }
    }
    else {
        return undefined;
    }
}
function checkBypass(reqUrl) {
    if (!reqUrl.hostname) {
        return false;
    }
    const reqHost = reqUrl.hostname;
    if (isLoopbackAddress(reqHost)) {
        return true;
    }
    const noProxy = process.env['no_proxy'] || process.env['NO_PROXY'] || '';
    if (!noProxy) {
        return false;
    }
    // Determine the request port
    let reqPort;
    if (reqUrl.port) {
        reqPort = Number(reqUrl.port);
    }
    else if (reqUrl.protocol === 'http:') {
        reqPort = 80;
    }
    else if (reqUrl.protocol === 'https:') {
        reqPort = 443;
    }
    // Format the request hostname and hostname with port
    const upperReqHosts = [reqUrl.hostname.toUpperCase()];
    if (typeof reqPort === 'number') {
        upperReqHosts.push(`${upperReqHosts[0]}:${reqPort}`);
    }
    // Compare request host against noproxy
    for (const upperNoProxyItem of noProxy
        .split(',')
        .map(x => x.trim().toUpperCase())
        .filter(x => x)) {
        if (upperNoProxyItem === '*' ||
            upperReqHosts.some(x => x === upperNoProxyItem ||
                x.endsWith(`.${upperNoProxyItem}`) ||
                (upperNoProxyItem.startsWith('.') &&
                    x.endsWith(`${upperNoProxyItem}`)))) {
            return true;
        }
    }
    return false;
}
function isLoopbackAddress(host) {
    const hostLower = host.toLowerCase();
    return (hostLower === 'localhost' ||
        hostLower.startsWith('127.') ||
        hostLower.startsWith('[::1]') ||
        hostLower.startsWith('[0:0:0:0:0:0:0:1]'));
}
class DecodedURL extends URL {
    constructor(url, base) {
        super(url, base);
        this._decodedUsername = decodeURIComponent(super.username);
        this._decodedPassword = decodeURIComponent(super.password);
    }
    get username() {
        return this._decodedUsername;
    }
    get password() {
        return this._decodedPassword;
    }
}
//# sourceMappingURL=proxy.js.map
// EXTERNAL MODULE: ./stubs/tunnel/index.js
var tunnel = __nccwpck_require__(537);
// EXTERNAL MODULE: ./stubs/undici/index.js
var undici = __nccwpck_require__(227);
;// CONCATENATED MODULE: ./node_modules/@actions/http-client/lib/index.js
/* eslint-disable @typescript-eslint/no-explicit-any */
var __awaiter = (undefined && undefined.__awaiter) || function (thisArg, _arguments, P, generator) {
    function adopt(value) { return value instanceof P ? value : new P(function (resolve) { resolve(value); }); }
    return new (P || (P = Promise))(function (resolve, reject) {
        function fulfilled(value) { try { step(generator.next(value)); } catch (e) { reject(e); } }
        function rejected(value) { try { step(generator["throw"](value)); } catch (e) { reject(e); } }
        function step(result) { result.done ? resolve(result.value) : adopt(result.value).then(fulfilled, rejected); }
        step((generator = generator.apply(thisArg, _arguments || [])).next());
    });
};





var HttpCodes;
(function (HttpCodes) {
    HttpCodes[HttpCodes["OK"] = 200] = "OK";
    HttpCodes[HttpCodes["MultipleChoices"] = 300] = "MultipleChoices";
    HttpCodes[HttpCodes["MovedPermanently"] = 301] = "MovedPermanently";
    HttpCodes[HttpCodes["ResourceMoved"] = 302] = "ResourceMoved";
    HttpCodes[HttpCodes["SeeOther"] = 303] = "SeeOther";
    HttpCodes[HttpCodes["NotModified"] = 304] = "NotModified";
    HttpCodes[HttpCodes["UseProxy"] = 305] = "UseProxy";
    HttpCodes[HttpCodes["SwitchProxy"] = 306] = "SwitchProxy";
    HttpCodes[HttpCodes["TemporaryRedirect"] = 307] = "TemporaryRedirect";
    HttpCodes[HttpCodes["PermanentRedirect"] = 308] = "PermanentRedirect";
    HttpCodes[HttpCodes["BadRequest"] = 400] = "BadRequest";
    HttpCodes[HttpCodes["Unauthorized"] = 401] = "Unauthorized";
    HttpCodes[HttpCodes["PaymentRequired"] = 402] = "PaymentRequired";
    HttpCodes[HttpCodes["Forbidden"] = 403] = "Forbidden";
    HttpCodes[HttpCodes["NotFound"] = 404] = "NotFound";
    HttpCodes[HttpCodes["MethodNotAllowed"] = 405] = "MethodNotAllowed";
    HttpCodes[HttpCodes["NotAcceptable"] = 406] = "NotAcceptable";
    HttpCodes[HttpCodes["ProxyAuthenticationRequired"] = 407] = "ProxyAuthenticationRequired";
    HttpCodes[HttpCodes["RequestTimeout"] = 408] = "RequestTimeout";
    HttpCodes[HttpCodes["Conflict"] = 409] = "Conflict";
    HttpCodes[HttpCodes["Gone"] = 410] = "Gone";
    HttpCodes[HttpCodes["TooManyRequests"] = 429] = "TooManyRequests";
    HttpCodes[HttpCodes["InternalServerError"] = 500] = "InternalServerError";
    HttpCodes[HttpCodes["NotImplemented"] = 501] = "NotImplemented";
    HttpCodes[HttpCodes["BadGateway"] = 502] = "BadGateway";
    HttpCodes[HttpCodes["ServiceUnavailable"] = 503] = "ServiceUnavailable";
    HttpCodes[HttpCodes["GatewayTimeout"] = 504] = "GatewayTimeout";
})(HttpCodes || (HttpCodes = {}));
var Headers;
(function (Headers) {
    Headers["Accept"] = "accept";
    Headers["ContentType"] = "content-type";
})(Headers || (Headers = {}));
var MediaTypes;
(function (MediaTypes) {
    MediaTypes["ApplicationJson"] = "application/json";
})(MediaTypes || (MediaTypes = {}));
/**
 * Returns the proxy URL, depending upon the supplied url and proxy environment variables.
 * @param serverUrl  The server URL where the request will be sent. For example, https://api.github.com
 */
function lib_getProxyUrl(serverUrl) {
    const proxyUrl = getProxyUrl(new URL(serverUrl));
    return proxyUrl ? proxyUrl.href : '';
}
const HttpRedirectCodes = [
    HttpCodes.MovedPermanently,
    HttpCodes.ResourceMoved,
    HttpCodes.SeeOther,
    HttpCodes.TemporaryRedirect,
    HttpCodes.PermanentRedirect
];
const HttpResponseRetryCodes = [
    HttpCodes.BadGateway,
    HttpCodes.ServiceUnavailable,
    HttpCodes.GatewayTimeout
];
const RetryableHttpVerbs = ['OPTIONS', 'GET', 'DELETE', 'HEAD'];
const ExponentialBackoffCeiling = 10;
const ExponentialBackoffTimeSlice = 5;
class HttpClientError extends Error {
    constructor(message, statusCode) {
        super(message);
        this.name = 'HttpClientError';
        this.statusCode = statusCode;
        Object.setPrototypeOf(this, HttpClientError.prototype);
    }
}
class HttpClientResponse {
    constructor(message) {
        this.message = message;
    }
    readBody() {
        return __awaiter(this, void 0, void 0, function* () {
            return new Promise((resolve) => __awaiter(this, void 0, void 0, function* () {
                let output = Buffer.alloc(0);
                this.message.on('data', (chunk) => {
                    output = Buffer.concat([output, chunk]);
                });
                this.message.on('end', () => {
                    resolve(output.toString());
                });
            }));
        });
    }
    readBodyBuffer() {
        return __awaiter(this, void 0, void 0, function* () {
            return new Promise((resolve) => __awaiter(this, void 0, void 0, function* () {
                const chunks = [];
                this.message.on('data', (chunk) => {
                    chunks.push(chunk);
                });
                this.message.on('end', () => {
                    resolve(Buffer.concat(chunks));
                });
            }));
        });
    }
}
function isHttps(requestUrl) {
    const parsedUrl = new URL(requestUrl);
    return parsedUrl.protocol === 'https:';
}
class HttpClient {
    constructor(userAgent, handlers, requestOptions) {
        this._ignoreSslError = false;
        this._allowRedirects = true;
        this._allowRedirectDowngrade = false;
        this._maxRedirects = 50;
        this._allowRetries = false;
        this._maxRetries = 1;
        this._keepAlive = false;
        this._disposed = false;
        this.userAgent = this._getUserAgentWithOrchestrationId(userAgent);
        this.handlers = handlers || [];
        this.requestOptions = requestOptions;
        if (requestOptions) {
            if (requestOptions.ignoreSslError != null) {
                this._ignoreSslError = requestOptions.ignoreSslError;
            }
            this._socketTimeout = requestOptions.socketTimeout;
            if (requestOptions.allowRedirects != null) {
                this._allowRedirects = requestOptions.allowRedirects;
            }
            if (requestOptions.allowRedirectDowngrade != null) {
                this._allowRedirectDowngrade = requestOptions.allowRedirectDowngrade;
            }
            if (requestOptions.maxRedirects != null) {
                this._maxRedirects = Math.max(requestOptions.maxRedirects, 0);
            }
            if (requestOptions.keepAlive != null) {
                this._keepAlive = requestOptions.keepAlive;
            }
            if (requestOptions.allowRetries != null) {
                this._allowRetries = requestOptions.allowRetries;
            }
            if (requestOptions.maxRetries != null) {
                this._maxRetries = requestOptions.maxRetries;
            }
        }
    }
    options(requestUrl, additionalHeaders) {
        return __awaiter(this, void 0, void 0, function* () {
            return this.request('OPTIONS', requestUrl, null, additionalHeaders || {});
        });
    }
    get(requestUrl, additionalHeaders) {
        return __awaiter(this, void 0, void 0, function* () {
            return this.request('GET', requestUrl, null, additionalHeaders || {});
        });
    }
    del(requestUrl, additionalHeaders) {
        return __awaiter(this, void 0, void 0, function* () {
            return this.request('DELETE', requestUrl, null, additionalHeaders || {});
        });
    }
    post(requestUrl, data, additionalHeaders) {
        return __awaiter(this, void 0, void 0, function* () {
            return this.request('POST', requestUrl, data, additionalHeaders || {});
        });
    }
    patch(requestUrl, data, additionalHeaders) {
        return __awaiter(this, void 0, void 0, function* () {
            return this.request('PATCH', requestUrl, data, additionalHeaders || {});
        });
    }
    put(requestUrl, data, additionalHeaders) {
        return __awaiter(this, void 0, void 0, function* () {
            return this.request('PUT', requestUrl, data, additionalHeaders || {});
        });
    }
    head(requestUrl, additionalHeaders) {
        return __awaiter(this, void 0, void 0, function* () {
            return this.request('HEAD', requestUrl, null, additionalHeaders || {});
        });
    }
    sendStream(verb, requestUrl, stream, additionalHeaders) {
        return __awaiter(this, void 0, void 0, function* () {
            return this.request(verb, requestUrl, stream, additionalHeaders);
        });
    }
    /**
     * Gets a typed object from an endpoint
     * Be aware that not found returns a null.  Other errors (4xx, 5xx) reject the promise
     */
    getJson(requestUrl_1) {
        return __awaiter(this, arguments, void 0, function* (requestUrl, additionalHeaders = {}) {
            additionalHeaders[Headers.Accept] = this._getExistingOrDefaultHeader(additionalHeaders, Headers.Accept, MediaTypes.ApplicationJson);
            const res = yield this.get(requestUrl, additionalHeaders);
            return this._processResponse(res, this.requestOptions);
        });
    }
    postJson(requestUrl_1, obj_1) {
        return __awaiter(this, arguments, void 0, function* (requestUrl, obj, additionalHeaders = {}) {
            const data = JSON.stringify(obj, null, 2);
            additionalHeaders[Headers.Accept] = this._getExistingOrDefaultHeader(additionalHeaders, Headers.Accept, MediaTypes.ApplicationJson);
            additionalHeaders[Headers.ContentType] =
                this._getExistingOrDefaultContentTypeHeader(additionalHeaders, MediaTypes.ApplicationJson);
            const res = yield this.post(requestUrl, data, additionalHeaders);
            return this._processResponse(res, this.requestOptions);
        });
    }
    putJson(requestUrl_1, obj_1) {
        return __awaiter(this, arguments, void 0, function* (requestUrl, obj, additionalHeaders = {}) {
            const data = JSON.stringify(obj, null, 2);
            additionalHeaders[Headers.Accept] = this._getExistingOrDefaultHeader(additionalHeaders, Headers.Accept, MediaTypes.ApplicationJson);
            additionalHeaders[Headers.ContentType] =
                this._getExistingOrDefaultContentTypeHeader(additionalHeaders, MediaTypes.ApplicationJson);
            const res = yield this.put(requestUrl, data, additionalHeaders);
            return this._processResponse(res, this.requestOptions);
        });
    }
    patchJson(requestUrl_1, obj_1) {
        return __awaiter(this, arguments, void 0, function* (requestUrl, obj, additionalHeaders = {}) {
            const data = JSON.stringify(obj, null, 2);
            additionalHeaders[Headers.Accept] = this._getExistingOrDefaultHeader(additionalHeaders, Headers.Accept, MediaTypes.ApplicationJson);
            additionalHeaders[Headers.ContentType] =
                this._getExistingOrDefaultContentTypeHeader(additionalHeaders, MediaTypes.ApplicationJson);
            const res = yield this.patch(requestUrl, data, additionalHeaders);
            return this._processResponse(res, this.requestOptions);
        });
    }
    /**
     * Makes a raw http request.
     * All other methods such as get, post, patch, and request ultimately call this.
     * Prefer get, del, post and patch
     */
    request(verb, requestUrl, data, headers) {
        return __awaiter(this, void 0, void 0, function* () {
            if (this._disposed) {
                throw new Error('Client has already been disposed.');
            }
            const parsedUrl = new URL(requestUrl);
            let info = this._prepareRequest(verb, parsedUrl, headers);
            // Only perform retries on reads since writes may not be idempotent.
            const maxTries = this._allowRetries && RetryableHttpVerbs.includes(verb)
                ? this._maxRetries + 1
                : 1;
            let numTries = 0;
            let response;
            do {
                response = yield this.requestRaw(info, data);
                // Check if it's an authentication challenge
                if (response &&
                    response.message &&
                    response.message.statusCode === HttpCodes.Unauthorized) {
                    let authenticationHandler;
                    for (const handler of this.handlers) {
                        if (handler.canHandleAuthentication(response)) {
                            authenticationHandler = handler;
                            break;
                        }
                    }
                    if (authenticationHandler) {
                        return authenticationHandler.handleAuthentication(this, info, data);
                    }
                    else {
                        // We have received an unauthorized response but have no handlers to handle it.
                        // Let the response return to the caller.
                        return response;
                    }
                }
                let redirectsRemaining = this._maxRedirects;
                while (response.message.statusCode &&
                    HttpRedirectCodes.includes(response.message.statusCode) &&
                    this._allowRedirects &&
                    redirectsRemaining > 0) {
                    const redirectUrl = response.message.headers['location'];
                    if (!redirectUrl) {
                        // if there's no location to redirect to, we won't
                        break;
                    }
                    const parsedRedirectUrl = new URL(redirectUrl);
                    if (parsedUrl.protocol === 'https:' &&
                        parsedUrl.protocol !== parsedRedirectUrl.protocol &&
                        !this._allowRedirectDowngrade) {
                        throw new Error('Redirect from HTTPS to HTTP protocol. This downgrade is not allowed for security reasons. If you want to allow this behavior, set the allowRedirectDowngrade option to true.');
                    }
                    // we need to finish reading the response before reassigning response
                    // which will leak the open socket.
                    yield response.readBody();
                    // strip authorization header if redirected to a different hostname
                    if (parsedRedirectUrl.hostname !== parsedUrl.hostname) {
                        for (const header in headers) {
                            // header names are case insensitive
                            if (header.toLowerCase() === 'authorization') {
                                delete headers[header];
                            }
                        }
                    }
                    // let's make the request with the new redirectUrl
                    info = this._prepareRequest(verb, parsedRedirectUrl, headers);
                    response = yield this.requestRaw(info, data);
                    redirectsRemaining--;
                }
                if (!response.message.statusCode ||
                    !HttpResponseRetryCodes.includes(response.message.statusCode)) {
                    // If not a retry code, return immediately instead of retrying
                    return response;
                }
                numTries += 1;
                if (numTries < maxTries) {
                    yield response.readBody();
                    yield this._performExponentialBackoff(numTries);
                }
            } while (numTries < maxTries);
            return response;
        });
    }
    /**
     * Needs to be called if keepAlive is set to true in request options.
     */
    dispose() {
        if (this._agent) {
            this._agent.destroy();
        }
        this._disposed = true;
    }
    /**
     * Raw request.
     * @param info
     * @param data
     */
    requestRaw(info, data) {
        return __awaiter(this, void 0, void 0, function* () {
            return new Promise((resolve, reject) => {
                function callbackForResult(err, res) {
                    if (err) {
                        reject(err);
                    }
                    else if (!res) {
                        // If `err` is not passed, then `res` must be passed.
                        reject(new Error('Unknown error'));
                    }
                    else {
                        resolve(res);
                    }
                }
                this.requestRawWithCallback(info, data, callbackForResult);
            });
        });
    }
    /**
     * Raw request with callback.
     * @param info
     * @param data
     * @param onResult
     */
    requestRawWithCallback(info, data, onResult) {
        if (typeof data === 'string') {
            if (!info.options.headers) {
                info.options.headers = {};
            }
            info.options.headers['Content-Length'] = Buffer.byteLength(data, 'utf8');
        }
        let callbackCalled = false;
        function handleResult(err, res) {
            if (!callbackCalled) {
                callbackCalled = true;
                onResult(err, res);
            }
        }
        const req = info.httpModule.request(info.options, (msg) => {
            const res = new HttpClientResponse(msg);
            handleResult(undefined, res);
        });
        let socket;
        req.on('socket', sock => {
            socket = sock;
        });
        // If we ever get disconnected, we want the socket to timeout eventually
        req.setTimeout(this._socketTimeout || 3 * 60000, () => {
            if (socket) {
                socket.end();
            }
            handleResult(new Error(`Request timeout: ${info.options.path}`));
        });
        req.on('error', function (err) {
            // err has statusCode property
            // res should have headers
            handleResult(err);
        });
        if (data && typeof data === 'string') {
            req.write(data, 'utf8');
        }
        if (data && typeof data !== 'string') {
            data.on('close', function () {
                req.end();
            });
            data.pipe(req);
        }
        else {
            req.end();
        }
    }
    /**
     * Gets an http agent. This function is useful when you need an http agent that handles
     * routing through a proxy server - depending upon the url and proxy environment variables.
     * @param serverUrl  The server URL where the request will be sent. For example, https://api.github.com
     */
    getAgent(serverUrl) {
        const parsedUrl = new URL(serverUrl);
        return this._getAgent(parsedUrl);
    }
    getAgentDispatcher(serverUrl) {
        const parsedUrl = new URL(serverUrl);
        const proxyUrl = getProxyUrl(parsedUrl);
        const useProxy = proxyUrl && proxyUrl.hostname;
        if (!useProxy) {
            return;
        }
        return this._getProxyAgentDispatcher(parsedUrl, proxyUrl);
    }
    _prepareRequest(method, requestUrl, headers) {
        const info = {};
        info.parsedUrl = requestUrl;
        const usingSsl = info.parsedUrl.protocol === 'https:';
        info.httpModule = usingSsl ? external_https_namespaceObject : external_http_namespaceObject;
        const defaultPort = usingSsl ? 443 : 80;
        info.options = {};
        info.options.host = info.parsedUrl.hostname;
        info.options.port = info.parsedUrl.port
            ? parseInt(info.parsedUrl.port)
            : defaultPort;
        info.options.path =
            (info.parsedUrl.pathname || '') + (info.parsedUrl.search || '');
        info.options.method = method;
        info.options.headers = this._mergeHeaders(headers);
        if (this.userAgent != null) {
            info.options.headers['user-agent'] = this.userAgent;
        }
        info.options.agent = this._getAgent(info.parsedUrl);
        // gives handlers an opportunity to participate
        if (this.handlers) {
            for (const handler of this.handlers) {
                handler.prepareRequest(info.options);
            }
        }
        return info;
    }
    _mergeHeaders(headers) {
        if (this.requestOptions && this.requestOptions.headers) {
            return Object.assign({}, lowercaseKeys(this.requestOptions.headers), lowercaseKeys(headers || {}));
        }
        return lowercaseKeys(headers || {});
    }
    /**
     * Gets an existing header value or returns a default.
     * Handles converting number header values to strings since HTTP headers must be strings.
     * Note: This returns string | string[] since some headers can have multiple values.
     * For headers that must always be a single string (like Content-Type), use the
     * specialized _getExistingOrDefaultContentTypeHeader method instead.
     */
    _getExistingOrDefaultHeader(additionalHeaders, header, _default) {
        let clientHeader;
        if (this.requestOptions && this.requestOptions.headers) {
            const headerValue = lowercaseKeys(this.requestOptions.headers)[header];
            if (headerValue) {
                clientHeader =
                    typeof headerValue === 'number' ? headerValue.toString() : headerValue;
            }
        }
        const additionalValue = additionalHeaders[header];
        if (additionalValue !== undefined) {
            return typeof additionalValue === 'number'
                ? additionalValue.toString()
                : additionalValue;
        }
        if (clientHeader !== undefined) {
            return clientHeader;
        }
        return _default;
    }
    /**
     * Specialized version of _getExistingOrDefaultHeader for Content-Type header.
     * Always returns a single string (not an array) since Content-Type should be a single value.
     * Converts arrays to comma-separated strings and numbers to strings to ensure type safety.
     * This was split from _getExistingOrDefaultHeader to provide stricter typing for callers
     * that assign the result to places expecting a string (e.g., additionalHeaders[Headers.ContentType]).
     */
    _getExistingOrDefaultContentTypeHeader(additionalHeaders, _default) {
        let clientHeader;
        if (this.requestOptions && this.requestOptions.headers) {
            const headerValue = lowercaseKeys(this.requestOptions.headers)[Headers.ContentType];
            if (headerValue) {
                if (typeof headerValue === 'number') {
                    clientHeader = String(headerValue);
                }
                else if (Array.isArray(headerValue)) {
                    clientHeader = headerValue.join(', ');
                }
                else {
                    clientHeader = headerValue;
                }
            }
        }
        const additionalValue = additionalHeaders[Headers.ContentType];
        // Return the first non-undefined value, converting numbers or arrays to strings if necessary
        if (additionalValue !== undefined) {
            if (typeof additionalValue === 'number') {
                return String(additionalValue);
            }
            else if (Array.isArray(additionalValue)) {
                return additionalValue.join(', ');
            }
            else {
                return additionalValue;
            }
        }
        if (clientHeader !== undefined) {
            return clientHeader;
        }
        return _default;
    }
    _getAgent(parsedUrl) {
        let agent;
        const proxyUrl = getProxyUrl(parsedUrl);
        const useProxy = proxyUrl && proxyUrl.hostname;
        if (this._keepAlive && useProxy) {
            agent = this._proxyAgent;
        }
        if (!useProxy) {
            agent = this._agent;
        }
        // if agent is already assigned use that agent.
        if (agent) {
            return agent;
        }
        const usingSsl = parsedUrl.protocol === 'https:';
        let maxSockets = 100;
        if (this.requestOptions) {
            maxSockets = this.requestOptions.maxSockets || external_http_.globalAgent.maxSockets;
        }
        // This is `useProxy` again, but we need to check `proxyURl` directly for TypeScripts's flow analysis.
        if (proxyUrl && proxyUrl.hostname) {
            const agentOptions = {
                maxSockets,
                keepAlive: this._keepAlive,
                proxy: Object.assign(Object.assign({}, ((proxyUrl.username || proxyUrl.password) && {
                    proxyAuth: `${proxyUrl.username}:${proxyUrl.password}`
                })), { host: proxyUrl.hostname, port: proxyUrl.port })
            };
            let tunnelAgent;
            const overHttps = proxyUrl.protocol === 'https:';
            if (usingSsl) {
                tunnelAgent = overHttps ? tunnel/* httpsOverHttps */.vX : tunnel/* httpsOverHttp */.I9;
            }
            else {
                tunnelAgent = overHttps ? tunnel/* httpOverHttps */.aQ : tunnel/* httpOverHttp */.xj;
            }
            agent = tunnelAgent(agentOptions);
            this._proxyAgent = agent;
        }
        // if tunneling agent isn't assigned create a new agent
        if (!agent) {
            const options = { keepAlive: this._keepAlive, maxSockets };
            agent = usingSsl ? new external_https_.Agent(options) : new external_http_.Agent(options);
            this._agent = agent;
        }
        if (usingSsl && this._ignoreSslError) {
            // we don't want to set NODE_TLS_REJECT_UNAUTHORIZED=0 since that will affect request for entire process
            // http.RequestOptions doesn't expose a way to modify RequestOptions.agent.options
            // we have to cast it to any and change it directly
            agent.options = Object.assign(agent.options || {}, {
                rejectUnauthorized: false
            });
        }
        return agent;
    }
    _getProxyAgentDispatcher(parsedUrl, proxyUrl) {
        let proxyAgent;
        if (this._keepAlive) {
            proxyAgent = this._proxyAgentDispatcher;
        }
        // if agent is already assigned use that agent.
        if (proxyAgent) {
            return proxyAgent;
        }
        const usingSsl = parsedUrl.protocol === 'https:';
        proxyAgent = new undici/* ProxyAgent */.k(Object.assign({ uri: proxyUrl.href, pipelining: !this._keepAlive ? 0 : 1 }, ((proxyUrl.username || proxyUrl.password) && {
            token: `Basic ${Buffer.from(`${proxyUrl.username}:${proxyUrl.password}`).toString('base64')}`
        })));
        this._proxyAgentDispatcher = proxyAgent;
        if (usingSsl && this._ignoreSslError) {
            // we don't want to set NODE_TLS_REJECT_UNAUTHORIZED=0 since that will affect request for entire process
            // http.RequestOptions doesn't expose a way to modify RequestOptions.agent.options
            // we have to cast it to any and change it directly
            proxyAgent.options = Object.assign(proxyAgent.options.requestTls || {}, {
                rejectUnauthorized: false
            });
        }
        return proxyAgent;
    }
    _getUserAgentWithOrchestrationId(userAgent) {
        const baseUserAgent = userAgent || 'actions/http-client';
        const orchId = process.env['ACTIONS_ORCHESTRATION_ID'];
        if (orchId) {
            // Sanitize the orchestration ID to ensure it contains only valid characters
            // Valid characters: 0-9, a-z, _, -, .
            const sanitizedId = orchId.replace(/[^a-z0-9_.-]/gi, '_');
            return `${baseUserAgent} actions_orchestration_id/${sanitizedId}`;
        }
        return baseUserAgent;
    }
    _performExponentialBackoff(retryNumber) {
        return __awaiter(this, void 0, void 0, function* () {
            retryNumber = Math.min(ExponentialBackoffCeiling, retryNumber);
            const ms = ExponentialBackoffTimeSlice * Math.pow(2, retryNumber);
            return new Promise(resolve => setTimeout(() => resolve(), ms));
        });
    }
    _processResponse(res, options) {
        return __awaiter(this, void 0, void 0, function* () {
            return new Promise((resolve, reject) => __awaiter(this, void 0, void 0, function* () {
                const statusCode = res.message.statusCode || 0;
                const response = {
                    statusCode,
                    result: null,
                    headers: {}
                };
                // not found leads to null obj returned
                if (statusCode === HttpCodes.NotFound) {
                    resolve(response);
                }
                // get the result from the body
                function dateTimeDeserializer(key, value) {
                    if (typeof value === 'string') {
                        const a = new Date(value);
                        if (!isNaN(a.valueOf())) {
                            return a;
                        }
                    }
                    return value;
                }
                let obj;
                let contents;
                try {
                    contents = yield res.readBody();
                    if (contents && contents.length > 0) {
                        if (options && options.deserializeDates) {
                            obj = JSON.parse(contents, dateTimeDeserializer);
                        }
                        else {
                            obj = JSON.parse(contents);
                        }
                        response.result = obj;
                    }
                    response.headers = res.message.headers;
                }
                catch (err) {
                    // Invalid resource (contents not json);  leaving result obj null
                }
                // note that 3xx redirects are handled by the http layer.
                if (statusCode > 299) {
                    let msg;
                    // if exception/error in body, attempt to get better error
                    if (obj && obj.message) {
                        msg = obj.message;
                    }
                    else if (contents && contents.length > 0) {
                        // it may be the case that the exception is in the body message as string
                        msg = contents;
                    }
                    else {
                        msg = `Failed request: (${statusCode})`;
                    }
                    const err = new HttpClientError(msg, statusCode);
                    err.result = response.result;
                    reject(err);
                }
                else {
                    resolve(response);
                }
            }));
        });
    }
}
const lowercaseKeys = (obj) => Object.keys(obj).reduce((c, k) => ((c[k.toLowerCase()] = obj[k]), c), {});
//# sourceMappingURL=index.js.map
;// CONCATENATED MODULE: ./src/step-error.ts
/**
 * An error whose message is meant for the person who reads the job's log: one or two sentences that
 * say what happened and what to do. Every other error is a defect of the action.
 */
class step_error_StepError extends Error {
    name = 'StepError';
}
/** The job was cancelled before the step had done its work. */
class CancelledError extends step_error_StepError {
    name = 'CancelledError';
}

;// CONCATENATED MODULE: ./src/dashboard/http.ts


/** Product and version; kept equal to package.json by a test. */
const USER_AGENT = 'formlabs-dashboard-token/1.0.0';
/** More of a body than this is not read: the answers of the API are far smaller. */
const BODY_LIMIT_BYTES = 64 * 1024;
/**
 * Posts a form, once: no redirect is followed, since the form holds the client secret, and nothing is
 * tried again. A proxy is taken from the environment by the client itself.
 *
 * @param signal ends connection, request and body
 */
async function postForm(url, form, signal) {
    const client = new HttpClient(USER_AGENT, [requestHandler(signal)], {
        allowRedirects: false,
        // One client makes one request. Asked to close the connection, the server would have the step see to
        // that as well before it ends; kept alive, it ends with the process.
        keepAlive: true,
    });
    const received = [];
    try {
        signal.throwIfAborted();
        return await rejectOnAbort(exchange(client, url, form, received), signal);
    }
    catch (error) {
        // Ends the connection, should the request still be under way: an answer that nobody waits for any more
        // must not come in.
        client.dispose();
        const body = Buffer.concat(received).toString();
        return { complete: false, body, cause: signal.aborted ? signal.reason : error };
    }
}
/**
 * Checks the proxy variable. One that the client can't read it would leave out without a word.
 *
 * @throws StepError if requests to this URL may go through a proxy whose address can't be read
 */
function checkProxy(url) {
    const name = process.env['https_proxy'] ? 'https_proxy' : 'HTTPS_PROXY';
    const proxy = process.env[name] ?? '';
    if (proxy === '' || isProxyUrl(proxy) || new URL(url).protocol !== 'https:')
        return;
    throw new step_error_StepError(`${name} is not the address of a proxy: give http://user:password@host:port, with special characters in user and password percent-encoded.`);
}
/** The host and port of the proxy that requests to this URL go through, without its credentials; undefined if there is none. */
function proxyHost(url) {
    const proxy = lib_getProxyUrl(url);
    return proxy === '' ? undefined : new URL(proxy).host;
}
/** The proxy's password as it stands in the environment and as it is sent, to be kept out of all messages; none if there is none. */
function proxyPasswords(url) {
    const proxy = lib_getProxyUrl(url);
    const password = proxy === '' ? '' : new URL(proxy).password;
    return password === '' ? [] : [password, decodeURIComponent(password)];
}
function isProxyUrl(text) {
    // The client puts http:// before what is no URL without it, such as 192.0.2.1:3128.
    const url = URL.canParse(text) || /^https?:/.test(text) ? text : `http://${text}`;
    try {
        const { protocol, username, password } = new URL(url);
        decodeURIComponent(username + password);
        return /^https?:$/.test(protocol);
    }
    catch {
        return false;
    }
}
async function exchange(client, url, form, received) {
    const { message } = await client.request('POST', url, new URLSearchParams(form).toString(), {
        accept: 'application/json',
        'accept-encoding': 'identity',
        'content-type': 'application/x-www-form-urlencoded',
    });
    let size = 0;
    // Not the client's readBody(): it has no limit, and never settles when the connection breaks.
    for await (const chunk of message.complete ? takeWhole(message) : message) {
        received.push(chunk.subarray(0, BODY_LIMIT_BYTES - size));
        size += chunk.length;
        if (size > BODY_LIMIT_BYTES)
            break;
    }
    return {
        complete: true,
        status: Number(message.statusCode),
        // Node puts them together when they are looked at, which only a failure does.
        get headers() {
            return message.headers;
        },
        body: Buffer.concat(received).toString(),
        bodyTooLong: size > BODY_LIMIT_BYTES,
    };
}
/**
 * Takes a body that came in one piece with its head. Asked for just the bytes that are there, Node does not
 * go on to make the connection ready for another request, which takes longer than what the step still has
 * to do.
 */
function takeWhole(message) {
    const length = message.readableLength;
    return length === 0 ? [] : [message.read(length)];
}
function requestHandler(signal) {
    return {
        prepareRequest(options) {
            options.host = withoutBrackets(options.host);
            const agent = options.agent;
            if (isTunnelAgent(agent)) {
                // The client disposes of no tunnel, so both the request in it and the tunnel's own to the proxy
                // get the signal. Others go without: Node takes its time to set that up.
                options.signal = signal;
                agent.proxyOptions.signal = signal;
                agent.proxyOptions.host = withoutBrackets(agent.proxyOptions.host);
                // It also uses a deprecated call where the proxy has a password; the warning tells users nothing.
                process.noDeprecation = true;
            }
        },
        canHandleAuthentication: () => false,
        handleAuthentication: () => Promise.reject(new Error('not supported')),
    };
}
function isTunnelAgent(agent) {
    return 'proxyOptions' in Object(agent);
}
/** The client passes the host of a URL on as it stands there; Node wants an IPv6 address without brackets. */
function withoutBrackets(host) {
    return String(host).replace(/^\[(.*)\]$/, '$1');
}
/** Settles with the signal even if the request itself never notices it. */
function rejectOnAbort(promise, signal) {
    return new Promise((resolve, reject) => {
        const onAbort = () => reject(signal.reason);
        signal.addEventListener('abort', onAbort, { once: true });
        promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
    });
}

;// CONCATENATED MODULE: ./src/dashboard/failure.ts

/** A request to the Dashboard that failed, explained for the person who reads the job's log. */
class Failure extends step_error_StepError {
    name = 'Failure';
    what;
    advice;
    retry;
    constructor({ what, advice, retry, cause }) {
        super(`${what.charAt(0).toUpperCase()}${what.slice(1)}. ${advice}`, { cause });
        this.what = what;
        this.advice = advice;
        this.retry = retry;
    }
}

;// CONCATENATED MODULE: ./src/dashboard/retry.ts


/** One attempt gets at most this much of the budget, connection and body together. */
const ATTEMPT_MS = 10_000;
/** What has to be left of the budget for another wait, and for the attempt behind it. */
const LAST_WAIT_MS = 500;
const LAST_ATTEMPT_MS = 500;
const BACKOFF_BASE_MS = 1_000;
const BACKOFF_CAP_MS = 15_000;
/** An attempt took longer than it may. */
class AttemptTimeoutError extends Error {
    name = 'AttemptTimeoutError';
    constructor(ms) {
        super(`no complete answer within ${seconds(ms)}`);
    }
}
/** A clock that no change of the time of day moves, in milliseconds. */
function monotonicMs() {
    // Not performance.now(): Node loads a module of its own for it, at the start of every step.
    return Number(process.hrtime.bigint()) / 1e6;
}
/** Starts the budget of a step. */
function startBudget(seconds) {
    return { seconds, endsAt: monotonicMs() + seconds * 1_000 };
}
/**
 * Tries until it works, within the budget.
 *
 * Waits grow from 1 s to 15 s, and each is a random part of that ("full jitter"), so that jobs that
 * failed together don't come back together. What the server asks for with Retry-After
 * (RFC 9110, section 10.2.3) is waited for first, and the jitter comes on top. Near the end of the budget
 * chance gets no more than the time that is left; what the server asks for has to fit.
 *
 * @param attempt does the work once, and rejects with a Failure that says whether to try again
 * @throws Failure if it can't work, or not within the budget
 * @throws CancelledError if the job is cancelled
 */
async function retry(attempt, policy) {
    const { budget, cancellation } = policy;
    for (let attempts = 1;; attempts += 1) {
        throwIfCancelled(cancellation);
        let failure;
        try {
            return await withTimeout(attempt, policy);
        }
        catch (error) {
            throwIfCancelled(cancellation, error);
            if (!(error instanceof Failure))
                throw error;
            failure = error;
        }
        if (failure.retry === undefined || attempts >= failure.retry.maxAttempts)
            throw failure;
        const leftMs = budget.endsAt - monotonicMs();
        const askedMs = failure.retry.afterMs ?? 0;
        const roomMs = leftMs - askedMs - LAST_ATTEMPT_MS;
        if (roomMs < LAST_WAIT_MS)
            throw outOfTime(failure, attempts, leftMs, budget);
        const waitMs = askedMs + jitter(attempts, roomMs);
        policy.onFailedAttempt(`Attempt ${attempts} failed: ${failure.what}. The next one is in ${seconds(waitMs)}, ${seconds(leftMs)} of the ${budget.seconds} s in timeout-seconds are left.`);
        await sleep(waitMs, cancellation.requested);
    }
}
async function withTimeout(attempt, { budget, cancellation }) {
    const ms = Math.max(0, Math.min(ATTEMPT_MS, budget.endsAt - monotonicMs()));
    const end = new AbortController();
    const abandon = () => end.abort(cancellation.abandoned.reason);
    const timer = setTimeout(() => end.abort(new AttemptTimeoutError(ms)), ms);
    cancellation.abandoned.addEventListener('abort', abandon);
    try {
        return await attempt(end.signal);
    }
    finally {
        clearTimeout(timer);
        cancellation.abandoned.removeEventListener('abort', abandon);
    }
}
function throwIfCancelled(cancellation, cause) {
    if (cancellation.requested.aborted) {
        throw new CancelledError('The job was cancelled while this step waited for the Dashboard.', {
            cause,
        });
    }
}
function jitter(attempts, roomMs) {
    return Math.random() * Math.min(BACKOFF_CAP_MS, BACKOFF_BASE_MS * 2 ** (attempts - 1), roomMs);
}
function outOfTime(failure, attempts, leftMs, budget) {
    const left = `the ${seconds(leftMs)} that are left of the ${budget.seconds} s in timeout-seconds are too short`;
    const why = failure.retry?.afterMs
        ? `it asks to wait ${seconds(failure.retry.afterMs)}, for which ${left}`
        : `after ${attempts === 1 ? 'one attempt' : `${attempts} attempts`} ${left} for another`;
    return new Failure({
        what: `${failure.what}; ${why}`,
        advice: failure.advice.replace(/\.$/, ', or raise timeout-seconds.'),
        cause: failure,
    });
}
function sleep(ms, signal) {
    return new Promise((resolve) => {
        const done = () => {
            clearTimeout(timer);
            signal.removeEventListener('abort', done);
            resolve();
        };
        const timer = setTimeout(done, ms);
        signal.addEventListener('abort', done, { once: true });
    });
}
function seconds(ms) {
    return `${(Math.max(0, ms) / 1_000).toFixed(1)} s`;
}

;// CONCATENATED MODULE: ./src/error-code.ts
/** The code that Node and the operating system name an error by, ENOSPC say; undefined if it has none. */
function errorCode(error) {
    const { code } = Object(error);
    return typeof code === 'string' ? code : undefined;
}

;// CONCATENATED MODULE: ./src/text.ts
/** Longest piece of foreign text that a message may carry, in characters. */
const FOREIGN_TEXT_LIMIT = 200;
/**
 * Makes a text from elsewhere (a server, the operating system) fit for one line of the log: no secret,
 * no control character or line break, at most 200 characters, and nothing that the runner takes for a
 * command.
 *
 * The runner takes `::name::` for a command at the start of a line, and the older `##[name]` anywhere
 * in it (actions/runner, ActionCommand.cs).
 */
function foreignText(text, redact) {
    const oneLine = redact(text)
        .replaceAll(charactersOf('C', 'Zl', 'Zp'), ' ')
        .trim();
    // Again, because the first pass may have missed a secret with a character in it that is now a space.
    const characters = [...redact(oneLine)];
    const short = characters.length > FOREIGN_TEXT_LIMIT
        ? `${characters.slice(0, FOREIGN_TEXT_LIMIT - 1).join('')}…`
        : characters.join('');
    return short.replace(/#{2,}(?=\[)/g, '#').replace(/^[:\s]+/, '');
}
/**
 * Matches the characters of Unicode categories. Not a literal, since V8 works out the sets behind one as soon
 * as it reads the source: every step would pay for what next to none needs.
 */
function charactersOf(...categories) {
    return new RegExp(`[${categories.map((category) => `\\p{${category}}`).join('')}]`, 'gu');
}
/** Remembers secrets, and takes them out of texts as they are and as they look in a form, a URL, JSON or base64. */
function createRedactor() {
    const spellings = new Set();
    return {
        add: (secret) => {
            if (secret === '')
                return;
            const inUrl = encodeURIComponent(secret.toWellFormed());
            const inForm = new URLSearchParams([['', secret]]).toString().slice(1);
            for (const spelling of [secret, inUrl, inForm, lowerPercent(inUrl), lowerPercent(inForm)]) {
                spellings.add(spelling);
            }
            spellings.add(JSON.stringify(secret).slice(1, -1));
            spellings.add(Buffer.from(secret).toString('base64'));
        },
        redact: (text) => 
        // The longest first: one secret may be a part of another.
        [...spellings]
            .sort((a, b) => b.length - a.length)
            .reduce((redacted, spelling) => redacted.replaceAll(spelling, '***'), text),
    };
}
/** `%2B` and `%2b` are the same. */
function lowerPercent(text) {
    if (!text.includes('%'))
        return text;
    return text.replaceAll(/%[0-9A-F]{2}/g, (code) => code.toLowerCase());
}

;// CONCATENATED MODULE: external "os"
const external_os_namespaceObject = require("os");
;// CONCATENATED MODULE: ./node_modules/@actions/core/lib/utils.js
// We use any as a valid input type
/* eslint-disable @typescript-eslint/no-explicit-any */
/**
 * Sanitizes an input into a string so it can be passed into issueCommand safely
 * @param input input to sanitize into a string
 */
function toCommandValue(input) {
    if (input === null || input === undefined) {
        return '';
    }
    else if (typeof input === 'string' || input instanceof String) {
        return input;
    }
    return JSON.stringify(input);
}
/**
 *
 * @param annotationProperties
 * @returns The command properties to send with the actual annotation command
 * See IssueCommandProperties: https://github.com/actions/runner/blob/main/src/Runner.Worker/ActionCommandManager.cs#L646
 */
function toCommandProperties(annotationProperties) {
    if (!Object.keys(annotationProperties).length) {
        return {};
    }
    return {
        title: annotationProperties.title,
        file: annotationProperties.file,
        line: annotationProperties.startLine,
        endLine: annotationProperties.endLine,
        col: annotationProperties.startColumn,
        endColumn: annotationProperties.endColumn
    };
}
//# sourceMappingURL=utils.js.map
;// CONCATENATED MODULE: ./node_modules/@actions/core/lib/command.js


/**
 * Issues a command to the GitHub Actions runner
 *
 * @param command - The command name to issue
 * @param properties - Additional properties for the command (key-value pairs)
 * @param message - The message to include with the command
 * @remarks
 * This function outputs a specially formatted string to stdout that the Actions
 * runner interprets as a command. These commands can control workflow behavior,
 * set outputs, create annotations, mask values, and more.
 *
 * Command Format:
 *   ::name key=value,key=value::message
 *
 * @example
 * ```typescript
 * // Issue a warning annotation
 * issueCommand('warning', {}, 'This is a warning message');
 * // Output: ::warning::This is a warning message
 *
 * // Set an environment variable
 * issueCommand('set-env', { name: 'MY_VAR' }, 'some value');
 * // Output: ::set-env name=MY_VAR::some value
 *
 * // Add a secret mask
 * issueCommand('add-mask', {}, 'secretValue123');
 * // Output: ::add-mask::secretValue123
 * ```
 *
 * @internal
 * This is an internal utility function that powers the public API functions
 * such as setSecret, warning, error, and exportVariable.
 */
function issueCommand(command, properties, message) {
    const cmd = new Command(command, properties, message);
    process.stdout.write(cmd.toString() + external_os_namespaceObject.EOL);
}
function issue(name, message = '') {
    issueCommand(name, {}, message);
}
const CMD_STRING = '::';
class Command {
    constructor(command, properties, message) {
        if (!command) {
            command = 'missing.command';
        }
        this.command = command;
        this.properties = properties;
        this.message = message;
    }
    toString() {
        let cmdStr = CMD_STRING + this.command;
        if (this.properties && Object.keys(this.properties).length > 0) {
            cmdStr += ' ';
            let first = true;
            for (const key in this.properties) {
                if (this.properties.hasOwnProperty(key)) {
                    const val = this.properties[key];
                    if (val) {
                        if (first) {
                            first = false;
                        }
                        else {
                            cmdStr += ',';
                        }
                        cmdStr += `${key}=${escapeProperty(val)}`;
                    }
                }
            }
        }
        cmdStr += `${CMD_STRING}${escapeData(this.message)}`;
        return cmdStr;
    }
}
function escapeData(s) {
    return toCommandValue(s)
        .replace(/%/g, '%25')
        .replace(/\r/g, '%0D')
        .replace(/\n/g, '%0A');
}
function escapeProperty(s) {
    return toCommandValue(s)
        .replace(/%/g, '%25')
        .replace(/\r/g, '%0D')
        .replace(/\n/g, '%0A')
        .replace(/:/g, '%3A')
        .replace(/,/g, '%2C');
}
//# sourceMappingURL=command.js.map
;// CONCATENATED MODULE: external "crypto"
const external_crypto_namespaceObject = require("crypto");
;// CONCATENATED MODULE: external "fs"
const external_fs_namespaceObject = require("fs");
;// CONCATENATED MODULE: ./node_modules/@actions/core/lib/file-command.js
// For internal use, subject to change.
// We use any as a valid input type
/* eslint-disable @typescript-eslint/no-explicit-any */




function issueFileCommand(command, message) {
    const filePath = process.env[`GITHUB_${command}`];
    if (!filePath) {
        throw new Error(`Unable to find environment variable for file command ${command}`);
    }
    if (!external_fs_namespaceObject.existsSync(filePath)) {
        throw new Error(`Missing file at path: ${filePath}`);
    }
    external_fs_namespaceObject.appendFileSync(filePath, `${toCommandValue(message)}${external_os_namespaceObject.EOL}`, {
        encoding: 'utf8'
    });
}
function prepareKeyValueMessage(key, value) {
    const delimiter = `ghadelimiter_${external_crypto_namespaceObject.randomUUID()}`;
    const convertedValue = toCommandValue(value);
    // These should realistically never happen, but just in case someone finds a
    // way to exploit uuid generation let's not allow keys or values that contain
    // the delimiter.
    if (key.includes(delimiter)) {
        throw new Error(`Unexpected input: name should not contain the delimiter "${delimiter}"`);
    }
    if (convertedValue.includes(delimiter)) {
        throw new Error(`Unexpected input: value should not contain the delimiter "${delimiter}"`);
    }
    return `${key}<<${delimiter}${external_os_namespaceObject.EOL}${convertedValue}${external_os_namespaceObject.EOL}${delimiter}`;
}
//# sourceMappingURL=file-command.js.map
;// CONCATENATED MODULE: ./src/runner/toolkit.ts
// The two modules of @actions/core that talk to the runner, and not its index: that also loads the job
// summary, OIDC and the running of other programs, which every step would pay for at its start
// (docs/performance.md). It also prints a value as a command where the runner's file is missing: a token
// must not be printed.




/** The input, trimmed; empty if it is not set. */
function toolkit_getInput(name) {
    return process.env[`INPUT_${name.toUpperCase()}`]?.trim() ?? '';
}
/** The value that the main step saved; empty if it saved none. */
function toolkit_getState(name) {
    return process.env[`STATE_${name}`] ?? '';
}
/**
 * Leaves values for the runner to read when the step has ended, in one write: as state for the post
 * step, or as outputs for later steps.
 *
 * @throws StepError if the runner's file can't be written
 */
function leaveForRunner(file, values) {
    const messages = Object.entries(values).map(([name, value]) => prepareKeyValueMessage(name, value));
    try {
        issueFileCommand(file, messages.join('\n'));
    }
    catch (cause) {
        const reason = errorCode(cause) ?? `no file in GITHUB_${file}`;
        throw new step_error_StepError(`The runner's ${file.toLowerCase()} file can't be written (${reason}): make sure that the runner's temp folder exists, may be written to and has space left.`, { cause });
    }
}
/** Asks the runner to mask a value in all that is printed from now on. */
function addMask(secret) {
    issueCommand('add-mask', {}, secret);
}
/** Prints an annotation, or a line for debug logging. */
function toolkit_annotate(level, message) {
    issueCommand(level, {}, message);
}

;// CONCATENATED MODULE: ./src/runner/log.ts




const redactor = createRedactor();
/**
 * Masks a value in the log of this and every later step, and keeps it out of everything that this
 * step prints itself. `::add-mask::` is the only line that ever holds it.
 */
function log_mask(secret) {
    hide(secret);
    if (secret.trim() !== '')
        addMask(secret);
}
/** Keeps a value out of what this step prints, without telling the runner. */
function hide(secret) {
    redactor.add(secret);
}
/** Takes every secret that was masked or hidden so far out of a text. */
const redact = redactor.redact;
/** Prints a line. */
function info(message) {
    process.stdout.write(`${redact(message)}\n`);
}
/** Adds an annotation that does not fail the step. */
function warning(message) {
    annotate('warning', redact(message));
}
/** Ends the step red, with one annotation. */
function fail(message) {
    process.exitCode = 1;
    toolkit_annotate('error', redact(message));
}
/** What to say of any error: one or two sentences. */
function sentence(error) {
    if (error instanceof step_error_StepError)
        return error.message;
    const reason = foreignText(error instanceof Error ? error.message : String(error), redact);
    return `This is a defect of the action, please report it with the log of this job: ${reason}.`;
}
/** The same, as it goes on from a colon. */
function clause(error) {
    const text = sentence(error);
    return text.charAt(0).toLowerCase() + text.slice(1);
}
/**
 * Says where the messages are explained. Where the action is one of the workflow's own repository, the
 * runner does not name its repository, and there is nothing to say.
 */
function pointToHelp() {
    const { GITHUB_SERVER_URL, GITHUB_ACTION_REPOSITORY, GITHUB_ACTION_REF } = process.env;
    if (!GITHUB_ACTION_REPOSITORY)
        return;
    const page = `${GITHUB_SERVER_URL}/${GITHUB_ACTION_REPOSITORY}/blob/${GITHUB_ACTION_REF}/docs/troubleshooting.md`;
    info(`What this means: ${foreignText(page, redact)}`);
}
/** With debug logging on (`RUNNER_DEBUG=1`), tells an error and what it was caused by, a line each. */
function debugCauses(error) {
    if (process.env['RUNNER_DEBUG'] !== '1')
        return;
    let cause = error;
    for (let depth = 0; depth < 8 && cause instanceof Error; depth += 1) {
        const text = [cause.name, errorCode(cause), cause.message].filter(Boolean).join(': ');
        toolkit_annotate('debug', foreignText(text, redact));
        cause = cause.cause;
    }
}

;// CONCATENATED MODULE: ./src/connection.ts



/**
 * Starts the budget of a step and puts together what its requests need.
 *
 * @throws StepError if the proxy variable can't be read
 */
function connect(settings, clientSecret, cancellation) {
    checkProxy(settings.apiUrl);
    for (const password of proxyPasswords(settings.apiUrl))
        hide(password);
    return {
        apiUrl: settings.apiUrl,
        clientId: settings.clientId,
        clientSecret,
        budget: startBudget(settings.timeoutSeconds),
        cancellation,
        redact: redact,
        onFailedAttempt: info,
    };
}

;// CONCATENATED MODULE: ./src/json.ts
/** Reads JSON. Undefined if the text is no JSON. */
function json_parseJson(text) {
    try {
        return JSON.parse(text);
    }
    catch {
        return undefined;
    }
}
/**
 * Reads a JSON object.
 *
 * @returns its own fields; a map, so that no name in it means anything to JavaScript. Undefined if the
 *   text is no JSON object.
 */
function json_parseJsonObject(text) {
    const value = json_parseJson(text);
    if (typeof value !== 'object' || value === null || Array.isArray(value))
        return undefined;
    return new Map(Object.entries(value));
}

;// CONCATENATED MODULE: ./src/dashboard/retry-after.ts
/** Longer than anyone waits; keeps numbers of any length readable. */
const LONGEST_WAIT_SECONDS = 999_999_999;
/** The date formats of RFC 9110, section 5.6.7, all start with the name of a day. */
const HTTP_DATE = /^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)/;
/**
 * Reads a Retry-After header: seconds, or a date (RFC 9110, section 10.2.3).
 *
 * @param now milliseconds since the epoch
 * @returns milliseconds to wait, 0 for a date that has passed; undefined if it is absent or can't be read
 */
function parseRetryAfter(header, now) {
    const text = header?.trim() ?? '';
    if (/^\d+$/.test(text))
        return Math.min(Number(text), LONGEST_WAIT_SECONDS) * 1_000;
    if (!HTTP_DATE.test(text))
        return undefined;
    // The asctime format names no time zone, and means UTC.
    const date = Date.parse(/GMT$/.test(text) ? text : `${text} GMT`);
    return Number.isNaN(date) ? undefined : Math.max(0, date - now);
}

;// CONCATENATED MODULE: ./src/dashboard/explain.ts







const CREDENTIALS_PAGE = 'https://dashboard.formlabs.com/#developer';
const TRY_ON = { maxAttempts: Number.POSITIVE_INFINITY };
const TRY_THRICE = { maxAttempts: 3 };
/** Statuses that another attempt may change. */
const PASSING_STATUSES = new Map([
    [408, 'request timeout'],
    [429, 'too many requests'],
    [500, 'internal server error'],
    [502, 'bad gateway'],
    [503, 'service unavailable'],
    [504, 'gateway timeout'],
]);
const CUT_SHORT = 'the connection was cut before the answer was complete';
const UNREACHABLE = 'the host is unreachable';
const LOOKUP_FAILED = 'the name lookup failed';
/** Network errors that another attempt may change, by their code. */
const PASSING_ERRORS = new Map([
    ['ECONNREFUSED', 'the connection was refused'],
    ['ECONNRESET', CUT_SHORT],
    ['ECONNABORTED', CUT_SHORT],
    ['EPIPE', CUT_SHORT],
    ['HPE_INVALID_EOF_STATE', CUT_SHORT],
    ['ERR_STREAM_PREMATURE_CLOSE', CUT_SHORT],
    ['EHOSTUNREACH', UNREACHABLE],
    ['EHOSTDOWN', UNREACHABLE],
    ['ENETUNREACH', UNREACHABLE],
    ['ENETDOWN', UNREACHABLE],
    ['ETIMEDOUT', 'the connection timed out'],
    ['EAI_AGAIN', LOOKUP_FAILED],
    ['EAI_FAIL', LOOKUP_FAILED],
    ['EAI_NODATA', LOOKUP_FAILED],
    ['ESERVFAIL', LOOKUP_FAILED],
]);
/** What OpenSSL and Node call the reasons not to trust a certificate (nodejs.org/api/tls.html, X509 certificate error codes). */
const CERTIFICATE_ERROR = /CERT|CRL|ISSUER|LEAF_SIGNATURE|INVALID_CA|INVALID_PURPOSE|PATH_LENGTH|HOSTNAME_MISMATCH/;
/** What the tunnel package says when the proxy does not open a tunnel. */
const TUNNEL_ERROR = /tunneling socket could not be established, (?:statusCode=(\d+)|cause=(.*))/s;
const CERTIFICATE_ADVICE = 'Where a proxy or a private certificate authority is in between, set NODE_EXTRA_CA_CERTS in the env of the job to the file with its certificate.';
const CONNECTION_ADVICE = 'Check api-url, the proxy variables and the network of the runner.';
const RATE_LIMIT_ADVICE = 'The limits are 100 requests a second from one IP address and 1,500 an hour for one user: start fewer jobs at once.';
const OUTAGE_ADVICE = 'The Dashboard, or a gateway before it, has an outage: run the job again later.';
/** Explains an answer that is neither a token nor a confirmed revocation. */
function explainAnswer(url, answer, redact) {
    const { status } = answer;
    const passing = PASSING_STATUSES.get(status);
    if (passing !== undefined) {
        const afterMs = parseRetryAfter(answer.headers['retry-after'], Date.now());
        return new Failure({
            what: `the Dashboard answered ${status} (${passing})${details(answer, redact)}`,
            advice: status === 429 ? RATE_LIMIT_ADVICE : OUTAGE_ADVICE,
            retry: { ...TRY_ON, afterMs },
        });
    }
    if (status >= 300 && status < 400) {
        return new Failure({
            what: `the Dashboard redirected the request (${status}) to ${redirectTarget(url, answer, redact)}, which is not followed, since the request holds the client secret`,
            advice: 'Set api-url to the address that answers itself; a sign-in page means that the network of the runner is not open.',
        });
    }
    switch (status) {
        case 400:
        case 401:
            return new Failure({
                what: `the Dashboard did not accept the credentials (${status})${details(answer, redact)}`,
                advice: `Check that client-id and client-secret belong together and are still listed on ${CREDENTIALS_PAGE}, where credentials are made.`,
            });
        case 403:
            return new Failure({
                what: `the Dashboard refused the request (403)${details(answer, redact)}`,
                advice: `Usually a firewall or a proxy blocks the runner, api-url names another server, or the account of the credentials may not use the API: it needs a registered printer, see ${CREDENTIALS_PAGE}.`,
            });
        case 404:
            return new Failure({
                what: `there is nothing at ${url} (404)`,
                advice: 'Usually api-url names the wrong host or path: leave it out for the Dashboard itself.',
            });
        case 407:
            return proxyWantsCredentials(url);
        default:
            return new Failure({
                what: `the Dashboard answered ${status}${details(answer, redact)}, which its API does not document`,
                advice: 'Check api-url, and any proxy or gateway in between.',
            });
    }
}
/** Explains a 200 answer that does not hold what it should. */
function explainUnusable(what) {
    return new Failure({
        what,
        advice: 'Usually a captive portal, a proxy or a wrong api-url answers in place of the Dashboard.',
    });
}
/** Explains why there was no answer. */
function explainNoAnswer(url, { cause }, redact) {
    if (cause instanceof AttemptTimeoutError) {
        return noAnswer(url, `there was ${cause.message}`, TRY_ON, cause);
    }
    const tunnel = TUNNEL_ERROR.exec(String(cause));
    if (tunnel !== null)
        return explainTunnel(url, tunnel, cause);
    const code = errorCode(cause) ?? 'no error code';
    if (code === 'ENOTFOUND') {
        return noAnswer(url, `the host name does not exist (${code})`, TRY_THRICE, cause);
    }
    if (CERTIFICATE_ERROR.test(code)) {
        return new Failure({
            what: `the certificate of ${hostOf(url)} is not trusted (${code})`,
            advice: CERTIFICATE_ADVICE,
            cause,
        });
    }
    const passing = PASSING_ERRORS.get(code);
    if (passing !== undefined)
        return noAnswer(url, `${passing} (${code})`, TRY_ON, cause);
    return noAnswer(url, `the request failed (${foreignText(code, redact)})`, undefined, cause);
}
function explainTunnel(url, [, status, reason = ''], cause) {
    if (status === '407')
        return proxyWantsCredentials(url);
    if (status !== undefined) {
        const retry = PASSING_STATUSES.has(Number(status)) ? TRY_ON : undefined;
        return noAnswer(url, `the proxy answered ${status} instead of a tunnel`, retry, cause);
    }
    if (/certificate/i.test(reason)) {
        return new Failure({
            what: `the certificate of the proxy ${proxyHost(url)} is not trusted`,
            advice: CERTIFICATE_ADVICE,
            cause,
        });
    }
    const retry = reason.includes('ENOTFOUND') ? TRY_THRICE : TRY_ON;
    return noAnswer(url, 'the proxy opened no tunnel', retry, cause);
}
function noAnswer(url, reason, retry, cause) {
    const proxy = proxyHost(url);
    const way = proxy === undefined ? '' : ` through the proxy ${proxy}`;
    return new Failure({
        what: `no answer from ${hostOf(url)}${way}: ${reason}`,
        advice: CONNECTION_ADVICE,
        retry,
        cause,
    });
}
function proxyWantsCredentials(url) {
    return new Failure({
        what: `the proxy ${proxyHost(url) ?? 'in between'} did not accept its credentials (407)`,
        advice: 'This is the proxy of the runner, not the Dashboard: check user and password in https_proxy.',
    });
}
/** Of an error body only the OAuth fields (RFC 6749, section 5.2), or the web framework's `detail`. */
function details({ status, body }, redact) {
    // Of an outage a page is what everyone expects. Elsewhere it tells that something else may have answered.
    if (status < 500 && isPage(body))
        return ', with a page from it or from something in between';
    const fields = json_parseJsonObject(body);
    const texts = [fields?.get('error'), fields?.get('error_description') ?? fields?.get('detail')];
    const text = texts.filter((field) => typeof field === 'string').join(': ');
    const shown = foreignText(text, redact);
    return shown === '' ? '' : `: ${shown.replace(/\.$/, '')}`;
}
/** Where a redirect points to, without user, query and fragment, which may hold anything. */
function redirectTarget(url, { headers }, redact) {
    const location = redact(headers.location ?? '');
    if (location === '' || !URL.canParse(location, url))
        return 'an address that cannot be read';
    const { protocol, host, pathname } = new URL(location, url);
    return foreignText(`${protocol}//${host}${pathname}`, redact);
}
/** Whether a body is a page: the API answers with JSON, or with nothing. */
function isPage(body) {
    return body.trimStart().startsWith('<');
}
function hostOf(url) {
    return new URL(url).host;
}

;// CONCATENATED MODULE: ./src/dashboard/token-answer.ts


/** More characters than this no token has. */
const TOKEN_LIMIT = 8_192;
/** No answer has a reason to hold more tokens than this. */
const TOKENS_LIMIT = 8;
/** RFC 6749, appendix A.12, less the space, which no header could carry in a token. */
const PRINTABLE_ASCII = /^[\x21-\x7e]+$/;
/** What stands behind the name of a field that holds a string, in any text: also in a body that broke off there. */
const STRING_VALUE = /^\s*:\s*("(?:[^"\\]|\\.)+")/;
/**
 * Checks the 200 answer of the token endpoint (RFC 6749, section 5.1).
 *
 * @param requestedAt when it was asked for, in milliseconds since the epoch
 * @throws Failure that says what is wrong with it
 */
function readTokenAnswer(answer, requestedAt) {
    if (answer.bodyTooLong)
        throw refusal('is longer than 64 KiB');
    const fields = json_parseJsonObject(answer.body);
    if (fields === undefined) {
        throw refusal(isPage(answer.body) ? 'is a page' : 'is not a JSON object');
    }
    const token = fields.get('access_token');
    if (typeof token !== 'string' || token === '')
        throw refusal('holds no access_token');
    if (token.length > TOKEN_LIMIT)
        throw refusal('holds an access_token that is too long');
    if (!PRINTABLE_ASCII.test(token)) {
        throw refusal('holds an access_token with characters that no token may have');
    }
    const type = fields.get('token_type');
    if (type !== undefined && !(typeof type === 'string' && type.toLowerCase() === 'bearer')) {
        throw refusal('holds a token_type other than Bearer');
    }
    return { token, expiresAt: readExpiry(fields.get('expires_in'), requestedAt) };
}
/** Finds every access token in an answer, whether or not it can be accepted or is even complete. */
function findTokens(body) {
    const [, ...rests] = body.split('"access_token"');
    const values = rests.map((rest) => json_parseJson(STRING_VALUE.exec(rest)?.[1] ?? ''));
    const tokens = [...values, json_parseJsonObject(body)?.get('access_token')].filter((token) => typeof token === 'string');
    return [...new Set(tokens)]
        .filter((token) => token.trim() !== '' && token.length <= TOKEN_LIMIT)
        .slice(0, TOKENS_LIMIT);
}
function readExpiry(expiresIn, requestedAt) {
    if (expiresIn === undefined)
        return undefined;
    const expiry = new Date(typeof expiresIn === 'number' ? requestedAt + expiresIn * 1_000 : NaN);
    if (Number.isNaN(expiry.getTime()) || expiry.getTime() <= requestedAt) {
        throw refusal('holds an expires_in that is no positive number of seconds');
    }
    return expiry.toISOString();
}
function refusal(problem) {
    return explainUnusable(`the answer to the token request ${problem}`);
}

;// CONCATENATED MODULE: ./src/dashboard/api.ts





// Both end in a slash: without it the answer is 404.
const TOKEN_PATH = '/developer/v1/o/token/';
const REVOKE_PATH = '/developer/v1/o/revoke_token/';
/**
 * Requests an access token by the client credentials grant (RFC 6749, section 4.4).
 *
 * @param onReceived told of every token the moment that it is received, before it is known whether it
 *   can be accepted: from then on it must not be lost. What it throws ends the request.
 * @throws Failure, CancelledError, or what `onReceived` throws
 */
function requestToken(connection, onReceived) {
    const form = { grant_type: 'client_credentials', ...credentials(connection) };
    return retry(async (signal) => {
        const requestedAt = Date.now();
        const answer = await post(connection, TOKEN_PATH, form, signal, (body) => {
            // A server that sends the client secret back must not bring it into the state or the outputs.
            const tokens = findTokens(body).filter((token) => token !== connection.clientSecret);
            if (tokens.length > 0)
                onReceived(tokens);
        });
        const accessToken = readTokenAnswer(answer, requestedAt);
        if (accessToken.token === connection.clientSecret) {
            throw explainUnusable('the answer to the token request holds the client secret as access_token');
        }
        return accessToken;
    }, connection);
}
/**
 * Revokes an access token (RFC 7009). One that has expired, or was revoked before, is no failure.
 *
 * @throws Failure, CancelledError
 */
function revokeToken(connection, token) {
    const form = { token, ...credentials(connection) };
    return retry(async (signal) => {
        const { body } = await post(connection, REVOKE_PATH, form, signal);
        if (!isConfirmation(body)) {
            throw explainUnusable('the revocation was answered with something other than a confirmation');
        }
    }, connection);
}
/** Posts a form once. Gives an answer with status 200, after telling of any body that came. */
async function post({ apiUrl, redact }, path, form, signal, onBody = () => undefined) {
    const url = apiUrl + path;
    const answer = await postForm(url, form, signal);
    onBody(answer.body);
    if (!answer.complete)
        throw explainNoAnswer(url, answer, redact);
    if (answer.status !== 200)
        throw explainAnswer(url, answer, redact);
    return answer;
}
/** The Dashboard confirms with an empty body. What is no JSON, or names an error, comes from something in between. */
function isConfirmation(body) {
    if (body.trim() === '')
        return true;
    const fields = json_parseJsonObject(body);
    return fields !== undefined && !fields.has('error') && !fields.has('detail');
}
function credentials({ clientId, clientSecret }) {
    return { client_id: clientId, client_secret: clientSecret };
}

;// CONCATENATED MODULE: ./src/runner/inputs.ts




/** A workflow that passes an unset variable gives an empty input: that means the default. */
const DEFAULTS = {
    'api-url': 'https://api.formlabs.com',
    'skip-token-revoke': 'false',
    'timeout-seconds': '60',
};
const MAX_TIMEOUT_SECONDS = 86_400;
/**
 * Reads and checks all inputs. Masks the client secret before anything else, so that it is masked
 * even when another input is wrong.
 *
 * @throws StepError that names the input, what it accepts, and what to do
 */
function readInputs() {
    const clientSecret = toolkit_getInput('client-secret');
    log_mask(clientSecret);
    return {
        clientId: checkCredential('client-id', toolkit_getInput('client-id')),
        clientSecret: checkCredential('client-secret', clientSecret),
        apiUrl: inputs_parseApiUrl(read('api-url')),
        skipTokenRevoke: parseBoolean('skip-token-revoke', read('skip-token-revoke')),
        timeoutSeconds: inputs_parseTimeout(read('timeout-seconds')),
    };
}
/**
 * Reads the one input that the post step can't do without, and masks it.
 *
 * @returns the client secret, or undefined where the runner gave the post step none
 * @throws StepError if it holds a control character
 */
function readClientSecret() {
    const clientSecret = getInput('client-secret');
    mask(clientSecret);
    return clientSecret === '' ? undefined : checkCredential('client-secret', clientSecret);
}
/**
 * Checks the base URL of the API.
 *
 * @returns the URL in its normal form, without a trailing slash
 * @throws StepError if it is not an absolute https URL without user, query or fragment; http is
 *   accepted for loopback hosts
 */
function inputs_parseApiUrl(text) {
    const wrong = (problem) => new step_error_StepError(`Input api-url ${problem}: give an absolute https URL without user, query or fragment, such as ${DEFAULTS['api-url']}, or leave it out.`);
    if (!/^https?:\/\/[^\s\\]+$/i.test(text) || !URL.canParse(text)) {
        throw wrong('is not an absolute URL');
    }
    const url = new URL(text);
    if (url.username !== '' || url.password !== '')
        throw wrong('holds a user or a password');
    if (/[?#]/.test(text))
        throw wrong('holds a query or a fragment');
    if (url.protocol === 'http:' && !isLoopback(url.hostname)) {
        throw wrong('is not https, which would send the client secret in the clear');
    }
    return url.href.replace(/(?<!\/)\/+$/, '');
}
/**
 * @returns seconds
 * @throws StepError if it is not a whole number from 1 to 86400
 */
function inputs_parseTimeout(text) {
    const seconds = /^\d+$/.test(text) ? Number(text) : 0;
    if (seconds < 1 || seconds > MAX_TIMEOUT_SECONDS) {
        throw new step_error_StepError(`Input timeout-seconds is not a whole number from 1 to ${MAX_TIMEOUT_SECONDS}: give the seconds that a step may keep trying, such as ${DEFAULTS['timeout-seconds']}, or leave it out.`);
    }
    return seconds;
}
function read(name) {
    return toolkit_getInput(name) || DEFAULTS[name];
}
function checkCredential(name, value) {
    if (value === '') {
        throw new step_error_StepError(`Input ${name} is empty: check the name of the secret. The secret of an environment needs "environment" on the job, a reusable workflow needs "secrets: inherit", and GitHub passes no secrets to workflows started from forks or by Dependabot.`);
    }
    // Format characters too (a zero-width space, say): they get in by copy and paste and can't be seen.
    // The first test spares nearly every job the second, which is costly to set up.
    if (!/^[ -~]*$/.test(value) && charactersOf('Cc', 'Cf', 'Zl', 'Zp').test(value)) {
        throw new step_error_StepError(`Input ${name} holds a line break or another character that can't be seen: store the value again, as one line, copied from the Developer Tools page.`);
    }
    return value;
}
/** YAML 1.2 booleans, as `getBooleanInput` of the toolkit reads them. */
function parseBoolean(name, text) {
    if (['true', 'True', 'TRUE'].includes(text))
        return true;
    if (['false', 'False', 'FALSE'].includes(text))
        return false;
    throw new step_error_StepError(`Input ${name} is not a boolean: give true or false, or leave it out.`);
}
/** The URL parser has already brought every spelling of an IPv4 or IPv6 address to its normal form. */
function isLoopback(hostname) {
    return hostname === 'localhost' || hostname === '[::1]' || /^127\.\d+\.\d+\.\d+$/.test(hostname);
}

;// CONCATENATED MODULE: ./src/runner/state.ts




const SETTINGS = 'settings';
const TOKENS = 'tokens';
const EXPIRES_AT = 'expires-at';
const LEAVE_ALIVE = 'leave-alive';
/** @throws StepError if the state file can't be written */
function saveSettings({ clientId, apiUrl, timeoutSeconds }) {
    // Named one by one: what is passed may hold more, the client secret even.
    leaveForRunner('STATE', { [SETTINGS]: JSON.stringify({ clientId, apiUrl, timeoutSeconds }) });
}
/**
 * Saves the tokens that the post step has to revoke, in place of those saved before. There is
 * more than one when a token came in an answer that could not be accepted.
 *
 * @throws StepError if the state file can't be written
 */
function saveTokens(tokens) {
    leaveForRunner('STATE', { [TOKENS]: JSON.stringify(tokens) });
}
/** @throws StepError if the state file can't be written */
function saveExpiry(expiresAt) {
    leaveForRunner('STATE', { [EXPIRES_AT]: expiresAt });
}
/**
 * Notes that this token, of those saved, is to be left alive.
 *
 * @throws StepError if the state file can't be written
 */
function saveLeaveAlive(token) {
    leaveForRunner('STATE', { [LEAVE_ALIVE]: token });
}
/**
 * The settings that the main step saved, with the URL checked again: the client secret goes there.
 *
 * @throws StepError if they can't be read
 */
function loadSettings() {
    const saved = parseJsonObject(getState(SETTINGS));
    if (saved === undefined)
        throw new StepError('The state of the main step is lost.');
    return {
        clientId: String(saved.get('clientId')),
        apiUrl: parseApiUrl(String(saved.get('apiUrl'))),
        timeoutSeconds: parseTimeout(String(saved.get('timeoutSeconds'))),
    };
}
/** The tokens that the main step saved: none if it ended before it had one. */
function loadTokens() {
    const saved = parseJson(getState(TOKENS));
    return Array.isArray(saved) ? saved.filter((token) => typeof token === 'string') : [];
}
/** When the token expires, ISO 8601 in UTC; undefined if the API did not say. */
function loadExpiry() {
    const saved = getState(EXPIRES_AT);
    return /^[\d:.TZ-]+$/.test(saved) ? saved : undefined;
}
/** The token that is to be left alive; undefined if all are to be revoked. */
function loadLeaveAlive() {
    return getState(LEAVE_ALIVE) || undefined;
}

;// CONCATENATED MODULE: ./src/custody.ts





/** What has to go at once gets this much time, in milliseconds, even where the budget is used up. */
const LAST_REVOCATION_MS = 700;
/** The post step gets the state in its environment, where Windows has room for so many characters. */
const STATE_LIMIT = 30_000;
/** Keeps the tokens of the main step from being lost, whatever happens to it. */
function takeCustody(connection) {
    const held = new Set();
    let saved = true;
    return {
        receive: (tokens) => {
            for (const token of tokens) {
                log_mask(token);
                held.add(token);
            }
            saved = false;
            if (JSON.stringify([...held]).length > STATE_LIMIT) {
                throw new step_error_StepError('The Dashboard sent more tokens than the state of the runner can keep.');
            }
            saveTokens([...held]);
            saved = true;
        },
        isSaved: () => saved,
        revokeNow: async (kept) => {
            const unwanted = [...held].filter((token) => token !== kept);
            if (unwanted.length > 0)
                await revokeUnwanted(unwanted);
        },
    };
    async function revokeUnwanted(unwanted) {
        const last = lastResort(connection, saved);
        let failure;
        for (const token of unwanted) {
            try {
                await revokeToken(last, token);
                held.delete(token);
                info('Revoked a token that was received and cannot be handed out.');
            }
            catch (error) {
                failure = error;
            }
        }
        if (saved)
            saveTokens([...held]);
        if (failure === undefined)
            return;
        const reason = clause(failure);
        if (!saved) {
            throw new step_error_StepError(`A token that could not be saved for the post step was not revoked either and stays valid for up to a day: ${reason}`, { cause: failure });
        }
        info(`A token that was received is left to the post step to revoke: ${reason}`);
    }
}
/** Goes on after a cancellation until requests have to end; and over the budget, where post knows nothing. */
function lastResort(connection, saved) {
    const { abandoned } = connection.cancellation;
    const extra = saved ? 0 : monotonicMs() + LAST_REVOCATION_MS;
    const endsAt = Math.max(connection.budget.endsAt, extra);
    return {
        ...connection,
        budget: { ...connection.budget, endsAt },
        cancellation: { requested: abandoned, abandoned },
    };
}

;// CONCATENATED MODULE: ./src/runner/outputs.ts

/**
 * Hands the access token out to the later steps of the job.
 *
 * @param expiresAt ISO 8601 in UTC; undefined, where the API did not say, becomes an empty output
 * @throws StepError if the output file can't be written
 */
function setOutputs(token, expiresAt) {
    leaveForRunner('OUTPUT', { token, 'expires-at': expiresAt ?? '' });
}

;// CONCATENATED MODULE: ./src/main-step.ts








/**
 * The main step: gets an access token and hands it out.
 *
 * @throws StepError; a token that was received by then is revoked, or saved for the post step to revoke
 */
async function mainStep(cancellation) {
    const inputs = readInputs();
    saveSettings(inputs);
    const connection = connect(inputs, inputs.clientSecret, cancellation);
    const custody = takeCustody(connection);
    let accessToken;
    try {
        accessToken = await requestToken(connection, custody.receive);
    }
    catch (error) {
        // After a cancellation time is short, and the post step has more of it.
        if (!(error instanceof CancelledError && custody.isSaved()))
            await custody.revokeNow();
        throw error;
    }
    const { token, expiresAt } = accessToken;
    if (expiresAt !== undefined)
        saveExpiry(expiresAt);
    await custody.revokeNow(token);
    if (cancellation.requested.aborted) {
        throw new CancelledError('The job was cancelled while the access token was on its way: it is not handed out, and the post step revokes it.');
    }
    setOutputs(token, expiresAt);
    info(`${inputs.apiUrl} issued an access token, ${validity(expiresAt)}.`);
    info(inputs.skipTokenRevoke
        ? 'It is the output token, masked in the log, and stays alive when this job ends, since skip-token-revoke is true.'
        : 'It is the output token, masked in the log, and will be revoked when this job ends.');
    // The very last thing: a token that was not handed out is revoked in any case.
    if (inputs.skipTokenRevoke)
        saveLeaveAlive(token);
}
function validity(expiresAt) {
    return expiresAt === undefined
        ? 'and did not say how long it is valid'
        : `valid until ${expiresAt}`;
}

;// CONCATENATED MODULE: ./src/runner/cancellation.ts
/**
 * How long a request that is under way when the job is cancelled may still take. The runner sends
 * SIGINT, 7.5 s later SIGTERM, and kills the process 2.5 s after that.
 */
const LAST_REQUEST_MS = 6_000;
/**
 * Listens for the runner's cancellation.
 *
 * @returns the two moments, and `stop`, which gives the signals their usual effect back
 */
function watchCancellation() {
    const requested = new AbortController();
    const abandoned = new AbortController();
    let timer;
    const onSignal = () => {
        if (requested.signal.aborted)
            return;
        requested.abort();
        timer = setTimeout(() => abandoned.abort(), LAST_REQUEST_MS);
    };
    process.on('SIGINT', onSignal);
    process.on('SIGTERM', onSignal);
    return {
        requested: requested.signal,
        abandoned: abandoned.signal,
        stop: () => {
            clearTimeout(timer);
            process.off('SIGINT', onSignal);
            process.off('SIGTERM', onSignal);
        },
    };
}

;// CONCATENATED MODULE: ./src/runner/lifecycle.ts



/**
 * Runs a step from start to end and reports its failure: one annotation, a non-zero exit code.
 *
 * @param step resolves when the step has done its work; rejects with a StepError, or with another
 *   error where the action has a defect
 */
async function runStep(step) {
    const cancellation = watchCancellation();
    const onIdle = () => lifecycle_fail(new Error('the event loop ran dry before the step was finished'));
    const onDefect = (error) => {
        lifecycle_fail(error);
        finish();
    };
    const finish = () => {
        cancellation.stop();
        process.off('beforeExit', onIdle);
        process.off('uncaughtException', onDefect);
        endProcess();
    };
    // Node ends with 0 when its event loop runs dry, even if the step still waits for something.
    process.once('beforeExit', onIdle);
    process.once('uncaughtException', onDefect);
    try {
        await step(cancellation).finally(catchUp);
        if (cancellation.requested.aborted) {
            throw new step_error_StepError('The job was cancelled while this step ran.');
        }
    }
    catch (error) {
        lifecycle_fail(error);
    }
    finally {
        finish();
    }
}
function lifecycle_fail(error) {
    fail(sentence(error));
    pointToHelp();
    debugCauses(error);
}
/**
 * Lets Node catch up with what came while it was busy. It delivers signals only when it polls for events,
 * and a name lookup that has just failed counts as under way until then. The second turn of the loop is the
 * first that is sure to come after a poll.
 */
async function catchUp() {
    for (let turn = 0; turn < 2; turn += 1)
        await new Promise((resolve) => setImmediate(resolve));
}
/**
 * Ends the process as soon as all that was printed is written. Left to itself, Node would tidy up first.
 *
 * A name lookup can't be aborted, and even `process.exit` waits for it: a resolver that is silent would
 * hold the step long past its time. There a step that has failed ends the hard way.
 */
function endProcess() {
    process.stdout.write('', () => {
        if (process.exitCode === 1 && isLookingUpName())
            process.kill(process.pid, 'SIGKILL');
        else
            process.exit();
    });
}
function isLookingUpName() {
    return process.getActiveResourcesInfo().includes('GetAddrInfoReqWrap');
}

;// CONCATENATED MODULE: ./src/main.ts


void runStep(mainStep);

})();

module.exports = __webpack_exports__;
/******/ })()
;