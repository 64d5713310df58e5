/******/ (() => { // webpackBootstrap
/******/ 	var __webpack_modules__ = ({

/***/ 86:
/***/ ((__unused_webpack_module, exports) => {

// @actions/http-client imports `undici` for a method that this action never calls, and `tunnel` for
// proxies, which src/dashboard/proxy.ts does in its place.
const leftOut = (name) =>
  function leftOutOfTheBundle() {
    throw new Error(`${name} is left out of this bundle, see CONTRIBUTING.md.`);
  };

exports.kT = leftOut('undici');
exports.xj = leftOut('tunnel');
exports.I9 = leftOut('tunnel');
exports.aQ = leftOut('tunnel');
exports.vX = leftOut('tunnel');


/***/ }),

/***/ 522:
/***/ ((module) => {

"use strict";
module.exports = require("node:zlib");

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

// NAMESPACE OBJECT: ./src/runner/log.ts
var log_namespaceObject = {};
__nccwpck_require__.r(log_namespaceObject);
__nccwpck_require__.d(log_namespaceObject, {
  clause: () => (clause),
  hide: () => (hide),
  host: () => (host),
  info: () => (info),
  mask: () => (mask),
  report: () => (report),
  words: () => (words)
});

;// CONCATENATED MODULE: external "node:fs"
const external_node_fs_namespaceObject = require("node:fs");
;// CONCATENATED MODULE: external "node:http"
const external_node_http_namespaceObject = require("node:http");
;// CONCATENATED MODULE: external "node:util"
const external_node_util_namespaceObject = require("node:util");
;// CONCATENATED MODULE: ./src/shared/errors.ts
/**
 * An error whose message is meant for the person who reads the job's log: what happened, then what to do. Every other
 * error is a defect of the action.
 */
class errors_StepError extends Error {
    name = 'StepError';
}
/** A request to the Dashboard that failed. `clause` is its message as it continues after a colon. */
class Failure extends errors_StepError {
    name = 'Failure';
    explanation;
    clause;
    constructor(explanation) {
        const clause = `${explanation.what}. ${explanation.advice}`;
        super(clause.charAt(0).toUpperCase() + clause.slice(1), { cause: explanation.cause });
        this.explanation = explanation;
        this.clause = clause;
    }
}
/** The code that Node or the system names an error by, such as ENOSPC; undefined if it has none. */
function errorCode(error) {
    const { code } = Object(error);
    return typeof code === 'string' ? code : undefined;
}

;// CONCATENATED MODULE: external "http"
const external_http_namespaceObject = require("http");
var external_http_namespaceObject_0 = /*#__PURE__*/__nccwpck_require__.t(external_http_namespaceObject, 2);
;// CONCATENATED MODULE: external "https"
const external_https_namespaceObject = require("https");
var external_https_namespaceObject_0 = /*#__PURE__*/__nccwpck_require__.t(external_https_namespaceObject, 2);
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
// EXTERNAL MODULE: ./stubs/index.js
var stubs = __nccwpck_require__(86);
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
    const proxyUrl = pm.getProxyUrl(new URL(serverUrl));
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
        info.httpModule = usingSsl ? external_https_namespaceObject_0 : external_http_namespaceObject_0;
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
            maxSockets = this.requestOptions.maxSockets || external_http_namespaceObject.globalAgent.maxSockets;
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
                tunnelAgent = overHttps ? stubs/* httpsOverHttps */.vX : stubs/* httpsOverHttp */.I9;
            }
            else {
                tunnelAgent = overHttps ? stubs/* httpOverHttps */.aQ : stubs/* httpOverHttp */.xj;
            }
            agent = tunnelAgent(agentOptions);
            this._proxyAgent = agent;
        }
        // if tunneling agent isn't assigned create a new agent
        if (!agent) {
            const options = { keepAlive: this._keepAlive, maxSockets };
            agent = usingSsl ? new external_https_namespaceObject.Agent(options) : new external_http_namespaceObject.Agent(options);
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
        proxyAgent = new stubs/* ProxyAgent */.kT(Object.assign({ uri: proxyUrl.href, pipelining: !this._keepAlive ? 0 : 1 }, ((proxyUrl.username || proxyUrl.password) && {
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
;// CONCATENATED MODULE: external "node:https"
const external_node_https_namespaceObject = require("node:https");
;// CONCATENATED MODULE: external "node:tls"
const external_node_tls_namespaceObject = require("node:tls");
;// CONCATENATED MODULE: ./src/dashboard/proxy.ts





/** A tunnel that was not opened: what the proxy answered, or as `cause` why it did not. */
class TunnelError extends Error {
    name = 'TunnelError';
    answer;
    constructor(answer, cause) {
        super('the proxy opened no tunnel', { cause });
        this.answer = answer;
    }
}
/**
 * Takes the proxy for a URL out of the environment. Which variable counts, and which hosts go past the proxy, is as
 * `@actions/http-client` has it. The variable is deleted then, because the tunnels of that client take the certificate
 * of a proxy for that of the host behind it. Node's own (`proxyEnv`) are missing before 24.5, hide why a proxy has
 * refused, and can't be aborted.
 *
 * @returns undefined if there is none
 * @throws StepError if the variable can't be read
 */
function takeProxy(url) {
    const target = new URL(url);
    if (target.protocol !== 'https:' || checkBypass(target))
        return undefined;
    const names = ['https_proxy', 'HTTPS_PROXY'];
    const variables = names.map((name) => ({ name, text: process.env[name]?.trim() ?? '' }));
    for (const name of names)
        delete process.env[name];
    const variable = variables.find(({ text }) => text !== '');
    return variable && readProxy(variable.name, variable.text);
}
function readProxy(name, text) {
    try {
        // As curl and the runner have it, a value without a scheme is the address of a plain proxy.
        const url = new URL(/^[a-z][a-z\d+.-]*:\/\//i.test(text) ? text : `http://${text}`);
        const credentials = [url.username, url.password].map(decodeURIComponent).join(':');
        if (!/^https?:$/.test(url.protocol))
            throw new TypeError('it speaks something other than HTTP');
        const basic = Buffer.from(credentials).toString('base64');
        const hasCredentials = credentials !== ':';
        const secret = url.password || url.username;
        const headers = hasCredentials ? { 'proxy-authorization': `Basic ${basic}` } : {};
        return {
            host: url.host,
            hasCredentials,
            secrets: [secret, decodeURIComponent(secret)],
            connect: (target, own, onSocket) => openTunnel(url, { ...own, headers }, target, onSocket),
        };
    }
    catch (cause) {
        const form = 'http://user:password@host:port, with special characters percent-encoded';
        throw new errors_StepError(`${name} is not the address of an HTTP proxy: give ${form}.`, { cause });
    }
}
function openTunnel({ protocol, hostname, port }, { headers, ...own }, target, onSocket) {
    const host = withoutBrackets(hostname);
    const isTls = protocol === 'https:';
    const path = `${String(target.host).replace(/^.*:.*$/, '[$&]')}:${target.port}`;
    const fail = (answer, cause) => onSocket(new TunnelError(answer, cause), undefined);
    const connect = (isTls ? external_node_https_namespaceObject.request : external_node_http_namespaceObject.request)({
        ...own,
        method: 'CONNECT',
        host,
        port: port || (isTls ? 443 : 80),
        path,
        agent: false,
        headers: { ...headers, host: path },
        // Node would check the certificate for the name in the Host header, which is not the proxy's.
        ...(isTls && { servername: /^[\d.]+$|:/.test(host) ? '' : host }),
    });
    connect.once('connect', ({ statusCode, headers }, socket) => {
        const status = Number(statusCode);
        if (status >= 200 && status < 300) {
            return onSocket(null, (0,external_node_tls_namespaceObject.connect)({ ...target, socket }));
        }
        socket.destroy();
        fail({ status, headers });
    });
    connect.on('error', (error) => fail(undefined, error));
    connect.end();
}
/** The host of a URL as Node's connections take it, without the brackets of an IPv6 address. */
function withoutBrackets(host) {
    return host.replace(/^\[(.*)\]$/, '$1');
}

;// CONCATENATED MODULE: ./src/dashboard/http.ts


/** Product and version; kept equal to package.json by a test. */
const USER_AGENT = 'formlabs-dashboard-token/1.1.0';
/** More of a head or a body than this is not read: the answers of the API are far smaller. */
const SIZE_LIMIT = 1_024 * 1_024;
/** A connection gets this much of an attempt's time, or half if that is more; each address gets a quarter of it. */
const CONNECTION_MS = 15_000;
// Certificates are checked, whatever the environment says: with this variable Node would send the client secret to
// anyone in between.
const INSECURE_WANTED = process.env['NODE_TLS_REJECT_UNAUTHORIZED'] === '0';
delete process.env['NODE_TLS_REJECT_UNAUTHORIZED'];
/** Whether an answer came, and says that the request has worked. */
function isSuccess({ cause, status }) {
    return cause === undefined && status >= 200 && status < 300;
}
/**
 * Posts a form, once: no redirect is followed, since the form holds the client secret, and nothing is tried again.
 * Never rejects.
 */
async function postForm(url, form, limits) {
    const connection = {
        maxHeaderSize: SIZE_LIMIT,
        // Node gives each address but the last 250 ms, which is less than one packet may take.
        autoSelectFamilyAttemptTimeout: Math.ceil(connectionMs(limits) / 4),
    };
    const client = new HttpClient(USER_AGENT, [handler(connection)], {
        allowRedirects: false,
        // With `connection: close` the step would have to wait for the socket to close; kept alive, it ends with the
        // process.
        keepAlive: true,
        // Above the limit of the attempt, which has a timer of its own.
        socketTimeout: limits.limitMs + 60_000,
    });
    const agent = client.getAgent(url);
    const { proxy } = limits;
    const ended = new AbortController();
    if (proxy !== undefined) {
        agent.createConnection = (target, onSocket) => {
            proxy.connect(target, { ...connection, signal: ended.signal }, (error, socket) => onSocket?.(error, socket));
            return undefined;
        };
    }
    const progress = { events: 0, agent, chunks: [] };
    const exchanged = exchange(client, url, new URLSearchParams(form).toString(), progress);
    const outcome = await withinLimits(exchanged, limits, progress);
    if (!isSuccess(outcome)) {
        // No connection is left behind, and an answer that nobody waits for any more does not come in.
        ended.abort();
        client.dispose();
    }
    return outcome;
}
async function exchange(client, url, form, progress) {
    const { message } = await client.request('POST', url, form, {
        accept: 'application/json',
        'accept-encoding': 'identity',
        'content-type': 'application/x-www-form-urlencoded',
    });
    progress.message = message;
    progress.events += 1;
    let room = SIZE_LIMIT;
    // Not the client's readBody(): it has no limit, and never settles when the connection breaks.
    for await (const chunk of message.complete ? takeWhole(message) : message) {
        progress.chunks.push(chunk.subarray(0, room));
        progress.events += 1;
        room -= chunk.length;
        if (room < 0)
            break;
    }
}
/**
 * Takes a body that came in one piece with its head. Asked for just the bytes that are there, Node does not go on to
 * make the connection ready for another request, which would take longer than the rest.
 */
function takeWhole(message) {
    const length = message.readableLength;
    return length === 0 ? [] : [message.read(length)];
}
/** A server may compress a body unasked, and without saying so (gzip begins with 0x1f, and no text does). */
async function decode({ message, chunks }) {
    const body = Buffer.concat(chunks);
    const coding = message?.headers['content-encoding']?.trim().toLowerCase() ?? 'identity';
    if (coding === 'identity' && body[0] !== 0x1f)
        return body.toString();
    const { brotliDecompressSync, constants, unzipSync } = await Promise.resolve(/* import() */).then(__nccwpck_require__.t.bind(__nccwpck_require__, 522, 23));
    const decompress = coding === 'br' ? brotliDecompressSync : unzipSync;
    try {
        // So flushed, a body that broke off gives what it can.
        const options = { finishFlush: constants.Z_SYNC_FLUSH, maxOutputLength: SIZE_LIMIT };
        return decompress(body, options).toString();
    }
    catch {
        return body.toString();
    }
}
/** Settles when the exchange does, when the signal comes, or when the time is over. */
function withinLimits(exchanged, limits, progress) {
    const { limitMs, stop, signal } = limits;
    return new Promise((resolve) => {
        const settle = async (cause, timedOut) => {
            const { statusCode: status = 0, headers = {} } = progress.message ?? {};
            resolve({ status, headers, body: await decode(progress), cause, timedOut });
        };
        const timeOut = (ms) => {
            const awaited = isConnected(progress) ? 'answer' : 'connection';
            const what = awaited === 'answer' ? 'no complete answer' : 'no connection';
            const cause = new Error(`${what} within ${(ms / 1_000).toFixed(1)} s`);
            if (awaited === 'connection' || ms === limitMs)
                void settle(cause, awaited);
        };
        const timers = [connectionMs(limits), limitMs].map((ms) => setTimeout(() => whenQuiet(progress, () => timeOut(ms)), ms));
        const onStop = () => void (isConnected(progress) || settle(stop.reason));
        const onAbort = () => void settle(signal.reason);
        stop.addEventListener('abort', onStop);
        signal.addEventListener('abort', onAbort);
        exchanged.then(settle, settle).finally(() => {
            for (const timer of timers)
                clearTimeout(timer);
            stop.removeEventListener('abort', onStop);
            signal.removeEventListener('abort', onAbort);
        });
    });
}
/**
 * Takes what already lies in the socket first: where the machine was paused, the timer comes before it. Between the two
 * lies a turn of the event loop that brings nothing new.
 */
function whenQuiet(progress, then) {
    const { events } = progress;
    setImmediate(() => (progress.events > events ? whenQuiet(progress, then) : then()));
}
function connectionMs({ limitMs }) {
    return Math.max(Math.min(CONNECTION_MS, limitMs), limitMs / 2);
}
function isConnected({ agent }) {
    const sockets = Object.values(agent.sockets).flat();
    return sockets.some((socket) => socket?.connecting === false);
}
/** Sets what the client has no option for. */
function handler(connection) {
    return {
        prepareRequest: (options) => {
            Object.assign(options, connection, { host: withoutBrackets(String(options.host)) });
        },
        canHandleAuthentication: () => false,
        handleAuthentication: () => Promise.reject(new Error('not supported')),
    };
}

;// CONCATENATED MODULE: ./src/dashboard/explain.ts







const CREDENTIALS_PAGE = 'https://dashboard.formlabs.com/#developer';
const ADDRESS_ADVICE = 'Check api-url, and any proxy or gateway in between.';
const OUTAGE_ADVICE = 'The Dashboard, or a gateway in front of it, has an outage.';
const RATE_LIMIT_ADVICE = 'The limits are 100 requests a second from one IP address and 1,500 an hour for one user: start fewer jobs at once.';
const FORBIDDEN_ADVICE = 'Usually a firewall or a proxy blocks the runner, api-url names another server, or the account of the credentials ' +
    `may not use the API: it needs a registered printer, see ${CREDENTIALS_PAGE}.`;
const NOTHING_THERE_ADVICE = 'Usually api-url names the wrong host or path: leave it out for the Dashboard itself.';
const PROXY_ADVICE = 'This is the proxy of the runner, not the Dashboard: check user and password in https_proxy.';
/** What to do about errors of OAuth that are not about the credentials (RFC 6749, section 5.2). */
const OAUTH_ADVICE = new Map([
    ['unauthorized_client', `These credentials may not use this grant: create new ones on ${CREDENTIALS_PAGE}.`],
    ['unsupported_grant_type', 'The server does not support the client credentials grant: check api-url.'],
    ['invalid_scope', 'The Dashboard requires no scope, so another server has answered: check api-url.'],
    ['invalid_request', `The request did not arrive as it was sent. ${ADDRESS_ADVICE}`],
]);
/**
 * How Node and OpenSSL name what is wrong with a certificate (nodejs.org/api/tls.html, X.509 certificate error codes):
 * with an underscore, and without one of the prefixes that other errors have.
 */
const CERTIFICATE_ERROR = /^(?:(?!ERR_|HPE_|EAI_)[A-Z]+_[A-Z_]+|UNSPECIFIED|ERR_TLS_CERT_\w+)$/;
/** A peer that speaks no TLS. What is not about TLS, certificates or HTTP (HPE_) is a network or DNS error. */
const TLS_ERROR = /^(?:EPROTO$|ERR_(?:SSL|TLS|OSSL)_)/;
const TRANSIENT_TLS_ERROR = /bad[_ ]record[_ ]mac|internal[_ ]error/i;
/**
 * Explains a request that did not bring what it should, and says whether another attempt may. Only what another attempt
 * can't change is final; all else is transient.
 */
function explain(outcome, origin) {
    const { cause, timedOut } = outcome;
    const [what, advice, transient] = cause === undefined ? explainAnswer(outcome, origin) : explainNoAnswer(outcome, origin);
    const { headers } = (cause instanceof TunnelError && cause.answer) || outcome;
    return new Failure({ what, advice, transient, retryAfterMs: retryAfterMs(headers, Date.now()), timedOut, cause });
}
/** Explains a successful answer that does not hold what it should. */
function explainUnusable(what) {
    const advice = 'Usually a captive portal, a proxy or a wrong api-url answers in place of the Dashboard.';
    return new Failure({ what, advice, transient: false });
}
function explainAnswer(answer, { url, clientSecret, journal }) {
    const { status, headers, body } = answer;
    const fields = parseJsonObject(body);
    const details = detailsOf(answer, fields, journal);
    if (status < 400) {
        return [
            `the Dashboard redirected the request (${status}) to ${redirectTarget(url, headers.location, journal)}; ` +
                'redirects are not followed, since they would carry the client secret',
            'Set api-url to the final address; a sign-in page means a captive portal.',
            false,
        ];
    }
    // The API answers 401 in JSON, and 400 with an error of OAuth; all else comes from something in between.
    if (fields !== undefined && (status === 401 || (status === 400 && fields.has('error')))) {
        const advice = OAUTH_ADVICE.get(fields.get('error'));
        if (advice !== undefined)
            return [`the Dashboard refused the request (${status})${details}`, advice, false];
        const what = `the Dashboard did not accept the credentials (${status})${details}`;
        return [what, credentialsAdvice(clientSecret), false];
    }
    const answered = `the Dashboard answered ${named(status)}${details}`;
    const transient = isTransient(status) || headers['retry-after'] !== undefined;
    if (status === 429)
        return [answered, RATE_LIMIT_ADVICE, transient];
    if (isTransient(status))
        return [answered, OUTAGE_ADVICE, transient];
    if (status === 403)
        return [`the Dashboard refused the request (403)${details}`, FORBIDDEN_ADVICE, transient];
    if (status === 404)
        return [`there is nothing at ${url} (404)`, NOTHING_THERE_ADVICE, transient];
    return [`${answered}, which its API does not document`, ADDRESS_ADVICE, transient];
}
function isTransient(status) {
    return status >= 500 || status === 408 || status === 425 || status === 429;
}
function credentialsAdvice(clientSecret) {
    const advice = `Check that client-id and client-secret belong together and are still listed on ${CREDENTIALS_PAGE}.`;
    if (!/^\W|\W$/.test(clientSecret))
        return advice;
    return `${advice} client-secret starts or ends with a symbol, such as a quote: make sure that it belongs there.`;
}
function explainNoAnswer({ status, cause, timedOut }, { url, proxy }) {
    const { host } = new URL(url);
    const way = proxy === undefined ? '' : ` through the proxy ${proxy.host}`;
    const advice = 'Check api-url, the proxy variables and the network of the runner.';
    const because = (reason) => [`no answer from ${host}${way}: ${reason}`, advice, true];
    if (timedOut !== undefined)
        return because(cause.message);
    if (status > 0)
        return because(`the connection was cut before the answer was complete${codeOf(cause)}`);
    if (proxy === undefined || !(cause instanceof TunnelError)) {
        const plain = 'Check the host and the port in api-url.';
        return explainError(cause, host, plain, url.endsWith('/o/token/')) ?? because(reasonOf(cause));
    }
    if (cause.answer !== undefined)
        return explainTunnel(cause.answer, proxy);
    const plain = 'If the proxy itself speaks plain HTTP, start https_proxy with http://.';
    return explainError(cause.cause, `the proxy ${proxy.host}`, plain) ?? because(reasonOf(cause.cause));
}
/** Explains what a proxy answered in place of a tunnel. */
function explainTunnel({ status, headers }, { host, hasCredentials }) {
    if (status !== 407 && status !== 401) {
        const transient = isTransient(status) || (status >= 400 && headers['retry-after'] !== undefined);
        const advice = `Ask whoever runs it${transient ? '' : ' to allow this host, or add the host to no_proxy'}.`;
        return [`the proxy ${host} answered ${named(status)} instead of opening a tunnel`, advice, transient];
    }
    const schemes = headers['proxy-authenticate'] ?? headers['www-authenticate'];
    if (schemes !== undefined && !/\bbasic\b/i.test(String(schemes))) {
        const advice = 'The action supports no other scheme: ask whoever runs the proxy for another route.';
        return [`the proxy ${host} offers no Basic authentication (${status})`, advice, false];
    }
    if (hasCredentials)
        return [`the proxy ${host} rejected the credentials (${status})`, PROXY_ADVICE, false];
    const advice = 'Put user and password into https_proxy: http://user:password@host:port.';
    return [`the proxy ${host} requires credentials (${status})`, advice, false];
}
/** Explains an error that another attempt can't change, if it is one. @param isIssued whether a token may have been */
function explainError(error, peer, plainAdvice, isIssued = false) {
    const code = errorCode(error) ?? '';
    if (CERTIFICATE_ERROR.test(code)) {
        const [problem, advice] = explainCertificate(code);
        return [`the certificate of ${peer} ${problem} (${code})`, advice, false];
    }
    if (TLS_ERROR.test(code) && !TRANSIENT_TLS_ERROR.test(`${code} ${error}`)) {
        const [what, advice] = /alert/i.test(`${code} ${error}`)
            ? [`the TLS handshake with ${peer} was refused`, `It may require a client certificate. ${ADDRESS_ADVICE}`]
            : [`no TLS connection to ${peer} is possible`, plainAdvice];
        return [`${what} (${code})`, advice, false];
    }
    if (!code.startsWith('HPE_'))
        return undefined;
    const advice = `Something may alter the answers${isIssued ? '; a token may have been issued' : ''}.`;
    return [`what came from ${peer} is not valid HTTP (${code})`, `${advice} ${ADDRESS_ADVICE}`, false];
}
function explainCertificate(code) {
    const insecure = INSECURE_WANTED
        ? ' NODE_TLS_REJECT_UNAUTHORIZED=0 is ignored: anyone in between could read the client secret.'
        : '';
    const renew = `Check the clock of the runner; if it is right, the host has to renew it.${insecure}`;
    if (code.includes('NOT_YET_VALID'))
        return ['is not valid yet', renew];
    if (code.includes('EXPIRED'))
        return ['has expired', renew];
    if (/ALTNAME|HOSTNAME/.test(code))
        return ['is for another name', ADDRESS_ADVICE + insecure];
    if (/^UNSPECIFIED$|TOO_SMALL|TOO_WEAK/.test(code)) {
        return ['is too weak', `The host has to get one with a stronger key and signature.${insecure}`];
    }
    return ['is not trusted', trustAdvice() + insecure];
}
/** Looks at what the job has been told to trust before it says what to do. */
function trustAdvice() {
    const file = process.env['NODE_EXTRA_CA_CERTS'];
    const other = 'NODE_USE_SYSTEM_CA=1 needs no file: it uses the certificates of the system.';
    if (!file) {
        const what = 'set NODE_EXTRA_CA_CERTS in the env of the job to the PEM file of that authority';
        return `If a proxy or a server uses a private certificate authority, ${what}. ${other}`;
    }
    try {
        const isPem = /-----BEGIN [A-Z\d ]*CERTIFICATE-----/.test((0,external_node_fs_namespaceObject.readFileSync)(file, 'utf8'));
        const problem = isPem ? 'lacks the authority that signed it' : 'holds no certificate in PEM format';
        return `The file in NODE_EXTRA_CA_CERTS ${problem}. ${other}`;
    }
    catch (error) {
        const place = 'in a container, the path is inside it';
        return `The file in NODE_EXTRA_CA_CERTS can't be read${codeOf(error)}; ${place}. ${other}`;
    }
}
/** Why there was no connection, or no longer one. */
function reasonOf(error) {
    const { syscall, errno, errors } = Object(error);
    const reason = (0,external_node_util_namespaceObject.getSystemErrorMap)().get(errno ?? errors?.[0]?.errno)?.[1] ?? 'the connection was cut';
    return `${syscall === 'getaddrinfo' ? 'the host name was not found' : reason}${codeOf(error)}`;
}
/** Of an error body only the OAuth fields (RFC 6749, section 5.2), or the web framework's `detail`. */
function detailsOf({ status, body }, fields, journal) {
    // Of an outage a page is what everyone expects. Elsewhere it tells that something else may have answered.
    if (status < 500 && isPage(body))
        return ', with an HTML page';
    const texts = [fields?.get('error'), fields?.get('error_description') ?? fields?.get('detail')];
    const shown = journal.words(texts.filter((field) => typeof field === 'string').join(': '));
    return shown === '' ? '' : `: ${shown.replace(/\.$/, '')}`;
}
/** Where a redirect leads. The rest of the address may hold anything. */
function redirectTarget(url, location, { host }) {
    const target = location && URL.canParse(location, url) ? new URL(location, url).hostname : '';
    return target === '' ? 'an unreadable address' : host(target);
}
function named(status) {
    return `${status} (${external_node_http_namespaceObject.STATUS_CODES[status]?.toLowerCase() ?? 'an unknown status'})`;
}
function codeOf(error) {
    const code = errorCode(error);
    return code === undefined ? '' : ` (${code})`;
}

;// CONCATENATED MODULE: ./src/dashboard/answers.ts

/** RFC 6749, appendix A.12, less the space, which no header could carry in a token. */
const PRINTABLE_ASCII = /^[\x21-\x7e]+$/;
/** A string value after the name of its field, even in a truncated body. */
const STRING_VALUE = /^\s*:\s*("(?:[^"\\]|\\.)+")/;
/** More tokens than this in one answer are not kept: to revoke them all would take longer than a step has. */
const TOKENS_LIMIT = 1_000;
/** A shorter secret is likely to be a part of a token by chance. */
const SECRET_IN_TOKEN_LENGTH = 8;
/** The date formats of RFC 9110, section 5.6.7, all start with the name of a day. */
const HTTP_DATE = /^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)/;
/** The last moment that a Date can hold, in milliseconds since the epoch. */
const LAST_DATE = 8.64e15;
/** Longer than anyone waits; keeps numbers of any length readable. */
const LONGEST_WAIT_SECONDS = 999_999_999;
/**
 * Finds every access token in a body, whether or not it can be used or is even complete. One that holds the client
 * secret is none: it must get neither into the state nor into the outputs.
 */
function findTokens(body, clientSecret) {
    const [, ...rests] = body.split('"access_token"');
    const values = rests.map((rest) => parseJson(STRING_VALUE.exec(rest)?.[1] ?? ''));
    const tokens = [...values, parseJsonObject(body)?.get('access_token')].filter((token) => typeof token === 'string');
    // From the end, so that the one that is to be used is not left out.
    return [...new Set(tokens.reverse())]
        .filter((token) => token.trim() !== '' && !holdsSecret(token, clientSecret))
        .slice(0, TOKENS_LIMIT)
        .reverse();
}
/**
 * Reads the access token of a successful answer (RFC 6749, section 5.1). Nothing else in the answer decides whether it
 * can be used, but a type that is named and is another one (section 7.1).
 *
 * @throws Failure that says what is wrong with it
 */
function readToken({ body }, clientSecret) {
    const fields = parseJsonObject(body);
    if (fields === undefined)
        throw unusable(isPage(body) ? 'is a page' : 'is not a JSON object');
    const token = fields.get('access_token');
    if (typeof token !== 'string' || token.trim() === '')
        throw unusable('holds no access_token');
    if (holdsSecret(token, clientSecret))
        throw unusable('holds the client secret in its access_token');
    if (!PRINTABLE_ASCII.test(token))
        throw unusable('holds an access_token with characters that no token may have');
    const type = fields.get('token_type');
    const isOther = typeof type === 'string' && !/^\s*(?:bearer\s*)?$/i.test(type);
    if (isOther)
        throw unusable('holds a token_type other than Bearer');
    return token;
}
/**
 * Reads when a token expires. The Dashboard's clock is in the Date of its answer; the clock of this machine may be
 * wrong.
 *
 * @param requestedAt when it was asked for, in milliseconds since the epoch
 * @returns undefined if the answer does not say, or not in a way that can be read
 */
function readExpiry(answer, requestedAt) {
    const expiresIn = parseJsonObject(answer.body)?.get('expires_in');
    const seconds = typeof expiresIn === 'object' ? Number.NaN : Number.parseFloat(String(expiresIn));
    if (!(seconds > 0))
        return undefined;
    const after = (ms) => Math.min(ms + seconds * 1_000, LAST_DATE);
    const at = new Date(after(parseDate(answer.headers.date) ?? requestedAt)).toISOString();
    return { at, hereMs: after(requestedAt) };
}
/**
 * Reads the Retry-After of an answer: seconds, or a date (RFC 9110, section 10.2.3), which is reckoned from the
 * answer's own Date, where it has one.
 *
 * @param now by the clock of this machine, in milliseconds since the epoch
 * @returns milliseconds, 0 for a date that has passed; undefined if it is absent or can't be read
 */
function retryAfterMs(headers, now) {
    const text = headers['retry-after']?.trim() ?? '';
    if (/^\d+$/.test(text))
        return Math.min(Number(text), LONGEST_WAIT_SECONDS) * 1_000;
    const date = parseDate(text);
    return date === undefined ? undefined : Math.max(0, date - (parseDate(headers.date) ?? now));
}
/** Whether an answer confirms a revocation: the Dashboard sends an empty body; empty JSON counts too. */
function isConfirmation({ body }) {
    return body.trim() === '' || holdsNothing(parseJson(body));
}
/** Reads a JSON object into a map, so that no name in it means anything to JavaScript. */
function parseJsonObject(text) {
    const value = parseJson(text);
    if (typeof value !== 'object' || value === null || Array.isArray(value))
        return undefined;
    return new Map(Object.entries(value));
}
/** Whether a body is a page: the API answers with JSON, or with nothing. */
function isPage(body) {
    return body.trimStart().startsWith('<');
}
function parseJson(text) {
    try {
        return JSON.parse(text.replace(/^\ufeff/, ''));
    }
    catch {
        return undefined;
    }
}
function holdsNothing(value) {
    if (value === null || value === '')
        return true;
    return typeof value === 'object' && Object.values(value).every(holdsNothing);
}
function holdsSecret(token, clientSecret) {
    if (token.trim() === clientSecret)
        return true;
    return clientSecret.length >= SECRET_IN_TOKEN_LENGTH && token.includes(clientSecret);
}
function parseDate(text = '') {
    if (!HTTP_DATE.test(text))
        return undefined;
    // The asctime format names no time zone, and means UTC.
    const date = Date.parse(/GMT$/.test(text) ? text : `${text} GMT`);
    return Number.isNaN(date) ? undefined : date;
}
function unusable(problem) {
    return explainUnusable(`the answer to the token request ${problem}`);
}

;// CONCATENATED MODULE: ./src/dashboard/attempts.ts

/** What has to be left of the budget for another wait, and for the attempt after it. */
const LAST_WAIT_MS = 500;
const LAST_ATTEMPT_MS = 500;
const BACKOFF_BASE_MS = 1_000;
const BACKOFF_CAP_MS = 15_000;
/** A clock that no change of the time of day moves, in milliseconds. */
function monotonicMs() {
    // Not performance.now(): Node loads a module of its own for it, at the start of every step.
    return Number(process.hrtime.bigint()) / 1e6;
}
/**
 * Tries until it works, within the budget.
 *
 * An attempt may take half of what is left, so that one that hangs leaves time for another; after one that got no
 * answer, all of it. The waits between them grow from 1 s to 15 s, and each is a random part of that ("full jitter"),
 * so that jobs that failed together don't come back together. What the server asks for with Retry-After (RFC 9110,
 * section 10.2.3) is waited for first.
 *
 * @param attempt does the work once, within a limit in milliseconds; rejects with a Failure that says whether another
 *   attempt may help
 * @throws Failure if it can't work, or not within the budget; a timeout only where no attempt failed for another reason
 * @throws the reason of `stop` if that comes first
 */
async function tryWithin({ startedAt, endsAt, stop, advice, onRetry }, attempt) {
    const msLeft = () => Math.max(0, endsAt - monotonicMs());
    const total = seconds(endsAt - startedAt);
    let toReport;
    let waitedInVain = false;
    for (let attempts = 1;; attempts += 1) {
        stop.throwIfAborted();
        let failure;
        try {
            const leftMs = msLeft();
            const isLast = waitedInVain || leftMs / 2 <= LAST_WAIT_MS + LAST_ATTEMPT_MS;
            return await attempt(isLast ? leftMs : leftMs / 2);
        }
        catch (error) {
            if (!(error instanceof Failure))
                throw error;
            failure = error;
        }
        stop.throwIfAborted();
        const { what, transient, retryAfterMs = 0, timedOut } = failure.explanation;
        if (!transient)
            throw failure;
        waitedInVain ||= timedOut === 'answer';
        if (toReport === undefined || timedOut === undefined)
            toReport = failure;
        const leftMs = msLeft();
        const roomMs = leftMs - retryAfterMs - LAST_ATTEMPT_MS;
        if (roomMs < LAST_WAIT_MS) {
            const why = retryAfterMs > 0
                ? `it asks to wait ${seconds(retryAfterMs)}, which leaves no time for another attempt`
                : `gave up after ${attempts} attempt${attempts === 1 ? '' : 's'} within ${total}`;
            const { explanation } = toReport;
            const said = { what: `${explanation.what}; ${why}`, advice: `${explanation.advice} ${advice}`.trim() };
            throw new Failure({ ...explanation, ...said, cause: toReport });
        }
        const backoffMs = Math.min(BACKOFF_CAP_MS, BACKOFF_BASE_MS * 2 ** (attempts - 1), roomMs);
        const waitMs = retryAfterMs + Math.random() * backoffMs;
        const when = `in ${(waitMs / 1_000).toFixed(1)} s (${seconds(leftMs)} of ${total} left)`;
        onRetry(`Attempt ${attempts} failed: ${what}. Retrying ${when}.`);
        await sleep(waitMs, stop);
    }
}
/** Ends early, and not with an error, when the signal comes. */
function sleep(ms, signal) {
    return new Promise((resolve) => {
        const done = () => {
            clearTimeout(timer);
            signal.removeEventListener('abort', done);
            resolve();
        };
        const timer = setTimeout(done, ms);
        signal.addEventListener('abort', done);
    });
}
function seconds(ms) {
    return `${Math.round(ms / 1_000)} s`;
}

;// CONCATENATED MODULE: ./src/dashboard/client.ts





// Both end in a slash: without it the answer is 404.
const TOKEN_PATH = '/developer/v1/o/token/';
const REVOKE_PATH = '/developer/v1/o/revoke_token/';
/** The time for a revocation once the budget is spent, and after a signal, which ends it earlier. */
const LEAST_REVOCATION_MS = 700;
const LAST_REVOCATION_MS = 6_000;
/**
 * Starts the budget of a step.
 *
 * @returns the two endpoints that this action knows, for one pair of credentials
 * @throws StepError if the proxy variable can't be read
 */
function createDashboardClient({ apiUrl, clientId, timeoutSeconds }, clientSecret, shutdown, journal) {
    const proxy = takeProxy(apiUrl);
    for (const secret of proxy?.secrets ?? [])
        journal.hide(secret);
    const startedAt = monotonicMs();
    const budget = { startedAt, endsAt: startedAt + timeoutSeconds * 1_000, onRetry: journal.info };
    function post(path, fields, limits) {
        const form = { ...fields, client_id: clientId, client_secret: clientSecret };
        return postForm(apiUrl + path, form, { proxy, ...limits });
    }
    function requireSuccess(path, answer) {
        if (!isSuccess(answer))
            throw explain(answer, { url: apiUrl + path, proxy, clientSecret, journal });
    }
    return {
        /**
         * Requests an access token by the client credentials grant (RFC 6749, section 4.4).
         *
         * @param onReceived told of all tokens in an answer the moment that it has come, before it is known whether one can
         *   be used: from then on they must not be lost. What it throws ends the request.
         * @throws Failure, the reason of the shutdown, or what `onReceived` throws
         */
        requestToken(onReceived) {
            const advice = 'Run the job again later, or raise timeout-seconds.';
            return tryWithin({ ...budget, stop: shutdown.begun, advice }, async (limitMs) => {
                const requestedAt = Date.now();
                const limits = { limitMs, stop: shutdown.begun, signal: shutdown.lastAnswer };
                const answer = await post(TOKEN_PATH, { grant_type: 'client_credentials' }, limits);
                const expiry = readExpiry(answer, requestedAt);
                const tokens = findTokens(answer.body, clientSecret);
                if (tokens.length > 0)
                    onReceived(tokens, expiry);
                requireSuccess(TOKEN_PATH, answer);
                return { token: readToken(answer, clientSecret), expiry };
            });
        },
        /**
         * Revokes access tokens (RFC 7009), all at once, so that none waits for another. One that has expired, or was
         * revoked before, is no failure. Never rejects.
         *
         * @param atMostMs less than the budget, in milliseconds
         * @returns those that were revoked, and a Failure or the reason of the shutdown if one was not
         */
        async revoke(tokens, atMostMs = Number.POSITIVE_INFINITY) {
            const now = monotonicMs();
            const endsAt = shutdown.begun.aborted
                ? now + LAST_REVOCATION_MS
                : Math.max(now + LEAST_REVOCATION_MS, Math.min(budget.endsAt, now + atMostMs));
            const advice = atMostMs === Number.POSITIVE_INFINITY ? 'Raise timeout-seconds to keep trying for longer.' : '';
            const patience = { ...budget, startedAt: now, endsAt, stop: shutdown.over, advice };
            const revokeToken = (token) => tryWithin(patience, async (limitMs) => {
                const limits = { limitMs, stop: shutdown.over, signal: shutdown.over };
                const answer = await post(REVOKE_PATH, { token }, limits);
                requireSuccess(REVOKE_PATH, answer);
                if (!isConfirmation(answer))
                    throw explainUnusable('the revocation was answered, but not confirmed');
                return token;
            });
            const ends = await Promise.allSettled(tokens.map(revokeToken));
            return {
                revoked: ends.flatMap((end) => (end.status === 'fulfilled' ? [end.value] : [])),
                failure: ends.find((end) => end.status === 'rejected')?.reason,
            };
        },
    };
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
;// CONCATENATED MODULE: ./src/runner/files.ts
// The two modules of @actions/core that talk to the runner, and not its index: that also loads the job summary, OIDC
// and the running of other programs, which every step would pay for at its start (docs/performance.md). It also prints
// a value as a command where the runner's file is missing: a token must not be printed.




/**
 * Leaves values for the runner to read when the step has ended: as state for the post step, or as outputs for later
 * steps. All of them are written, or none.
 *
 * @throws StepError if the runner's file can't be written
 */
function append(file, values) {
    const lines = Object.entries(values).map(([name, value]) => prepareKeyValueMessage(name, value));
    const path = process.env[`GITHUB_${file}`] ?? '';
    let length;
    try {
        length = (0,external_node_fs_namespaceObject.statSync)(path, { throwIfNoEntry: false })?.size;
        issueFileCommand(file, lines.join('\n'));
    }
    catch (cause) {
        try {
            // On a full disk a part may have been written, which the runner could not read.
            (0,external_node_fs_namespaceObject.truncateSync)(path, length);
        }
        catch {
            // Truncating may fail too; the error is reported anyway.
        }
        const reason = errorCode(cause) ?? `no file in GITHUB_${file}`;
        throw new errors_StepError(`The runner's ${file.toLowerCase()} file can't be written (${reason}): make sure that the runner's temp folder ` +
            'exists, is writable and has space left.', { cause });
    }
}
/** Gives the runner a command: to mask a value in all that is printed from now on, or to show a message. */
function command(name, text) {
    issueCommand(name, {}, text);
}

;// CONCATENATED MODULE: external "node:crypto"
const external_node_crypto_namespaceObject = require("node:crypto");
;// CONCATENATED MODULE: ./src/shared/text.ts
/** Longest piece of a text from elsewhere that a message may carry, in characters. */
const TEXT_LIMIT = 200;
/** A word as error messages have them, with the punctuation around it, or a number. A longer one could carry more. */
const WORD = /^(?=.{1,24}$)["'(]*(?:(?:[A-Za-z][a-z]+|[aAI])(?:[-_'][a-z]+)*|[A-Z]{2,5}|\d{1,6})["').,:;!?]*$/;
/** Takes secrets out of a text of our own, in which they can only stand as they are. */
function redact(text, secrets) {
    // The longest first: one secret may be a part of another.
    return [...secrets]
        .sort((a, b) => b.length - a.length)
        .reduce((redacted, secret) => redacted.replaceAll(secret, '***'), text);
}
/**
 * What may be shown of a text from elsewhere (a server, a library): its words, on one line. What is no word becomes
 * `…`. A secret that comes back in some encoding is no word, whatever the encoding, and neither is a command for the
 * runner; so none of them has to be known here.
 */
function wordsOf(text, secrets) {
    return (redact(text.trim(), secrets)
        .split(/\s+/)
        .map((run) => (WORD.test(run) && !isPartOf(run, secrets) ? run : '…'))
        .join(' ')
        // What is spelled out letter by letter, or as numbers, is no run of words.
        .replace(/(?:\W*\b(?:\d+|\w{1,2})\b){3,}/g, ' …')
        .replace(/…(?:\W*…)+/g, '…')
        .slice(0, TEXT_LIMIT)
        .trim()
        .replace(/^…$/, ''));
}
/** What may be shown of the name of a host from elsewhere, or of its IPv4 address. */
function hostOf(host, secrets) {
    if (/^(?:\d+\.){3}\d+$/.test(host))
        return host;
    return wordsOf(host.replaceAll('.', ' '), secrets).replaceAll(' ', '.') || '…';
}
/** Whether a run of characters is a part of a secret, or holds one, by its letters and digits. */
function isPartOf(run, secrets) {
    const lettersOf = (text) => text.replace(/[^a-z0-9]/gi, '').toLowerCase();
    const letters = lettersOf(run);
    // Two letters, such as those of "is", are a part of nearly every secret.
    if (letters.length < 3)
        return false;
    return [...secrets]
        .map(lettersOf)
        .some((secret) => secret.includes(letters) || (secret.length > 2 && letters.includes(secret)));
}

;// CONCATENATED MODULE: ./src/runner/log.ts



const secrets = new Set();
/**
 * Masks a value in the log of this and every later step, and keeps it out of everything that this step prints itself.
 * `::add-mask::` is the only line that ever holds it.
 */
function mask(secret) {
    hide(secret);
    if (secret.trim() !== '')
        command('add-mask', secret);
}
/** Keeps a value out of what this step prints, without telling the runner. */
function hide(secret) {
    if (secret !== '')
        secrets.add(secret);
}
/** What may be shown of a text from elsewhere: its words, and no secret. */
const words = (text) => wordsOf(text, secrets);
/** What may be shown of a host from elsewhere. */
const host = (text) => hostOf(text, secrets);
/** Prints a line. */
function info(line) {
    process.stdout.write(`${redact(line, secrets)}\n`);
}
/** Prints one annotation that says what went wrong, and where the message is explained. */
function report(level, error) {
    command(level, redact(error instanceof errors_StepError ? error.message : defect(error), secrets));
    pointToHelp();
    if (process.env['RUNNER_DEBUG'] === '1')
        debugCauses(error);
}
/** What to say of any error behind a colon. */
function clause(error) {
    if (error instanceof Failure)
        return error.clause;
    return error instanceof errors_StepError ? error.message : defect(error);
}
/** A message of Node's may quote what it worked on, so only its words are shown, and the place. */
function defect(error) {
    const { name, message, stack } = error instanceof Error ? error : new Error(String(error));
    const place = /([\w.-]+:\d+):\d+\)?$/m.exec(String(stack))?.[1] ?? 'an unknown place';
    const what = [`${name} at ${place}`, words(message)].filter(Boolean).join(': ');
    return `This is a bug in the action; please report it with the log of this job: ${what}.`;
}
/**
 * Says where the messages are explained. Only github.com is known to have that page: a server of one's own may have got
 * the action from there, and an action in the workflow's own repository has no name.
 */
function pointToHelp() {
    const { GITHUB_SERVER_URL: server, GITHUB_ACTION_REPOSITORY: name, GITHUB_ACTION_REF: ref } = process.env;
    if (server !== 'https://github.com' || !name || !ref)
        return;
    info(`What this means: ${server}/${name}/blob/${ref}/docs/troubleshooting.md`);
}
/** Names an error and what it was caused by, a line each, for debug logging. */
function debugCauses(error) {
    for (let cause = error, depth = 0; cause instanceof Error && depth < 8; cause = cause.cause, depth += 1) {
        const { name, message, syscall } = cause;
        const parts = [name, errorCode(cause), syscall, cause instanceof errors_StepError ? message : words(message)];
        command('debug', redact(parts.filter(Boolean).join(': '), secrets));
    }
}

;// CONCATENATED MODULE: ./src/runner/inputs.ts



/** A workflow that passes an unset variable gives an empty input: that means the default. */
const DEFAULTS = {
    'client-id': '',
    'client-secret': '',
    'api-url': 'https://api.formlabs.com',
    'skip-token-revoke': 'false',
    'timeout-seconds': '60',
};
const MAX_TIMEOUT_SECONDS = 86_400;
/** Enough to notice a mix-up: one of two secrets passes for the other once in 16 million times. */
const FINGERPRINT_BYTES = 3;
/** Control and format characters, such as a zero-width space: they get in by copy and paste. */
const INVISIBLE = '[\\p{Cc}\\p{Cf}\\p{Zl}\\p{Zp}]';
/**
 * Reads and checks all inputs. Masks the client secret before anything else, so that it is masked even when another
 * input is wrong.
 *
 * @throws StepError that names the input, what it accepts, and what to do
 */
function readInputs() {
    const clientSecret = readClientSecret();
    const settings = inputs_parseSettings({
        clientId: read('client-id'),
        apiUrl: read('api-url'),
        timeoutSeconds: read('timeout-seconds'),
    });
    checkCredential('client-secret', clientSecret);
    if (settings.clientId === clientSecret) {
        throw new errors_StepError('Input client-id is the same as client-secret: give the client ID that belongs to the secret.');
    }
    const skipTokenRevoke = parseBoolean('skip-token-revoke', read('skip-token-revoke'));
    return { settings, clientSecret, skipTokenRevoke };
}
/** The client secret as the runner gives it to this step, masked; empty if there is none. */
function readClientSecret() {
    const clientSecret = read('client-secret');
    mask(clientSecret);
    return clientSecret;
}
/**
 * A few bytes of a digest of a secret and where it goes: enough to notice that one of them changed, useless for
 * guessing the secret.
 */
function fingerprintOf({ clientId, apiUrl }, clientSecret) {
    const digest = (0,external_node_crypto_namespaceObject.createHash)('sha256')
        .update(JSON.stringify([clientId, apiUrl, clientSecret]))
        .digest();
    return digest.subarray(0, FINGERPRINT_BYTES).toString('hex');
}
/**
 * Checks the settings in the inputs, and when they come back from the state: the client secret goes where they say.
 *
 * @throws StepError that names the input, what it accepts, and what to do
 */
function inputs_parseSettings(fields) {
    return {
        clientId: checkCredential('client-id', fields.clientId),
        apiUrl: parseApiUrl(String(fields.apiUrl)),
        timeoutSeconds: parseTimeout(String(fields.timeoutSeconds)),
    };
}
function parseApiUrl(text) {
    const wrong = (problem) => new errors_StepError(`Input api-url ${problem}: give an absolute https URL without user, query or fragment, such as ` +
        `${DEFAULTS['api-url']}, or leave it out.`);
    const isUrl = /^https?:\/\/[^\s\\]+$/i.test(text) && URL.canParse(text);
    if (!isUrl)
        throw wrong('is not an absolute URL');
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
function parseTimeout(text) {
    const seconds = /^\d+$/.test(text) ? Number(text) : 0;
    if (seconds >= 1 && seconds <= MAX_TIMEOUT_SECONDS)
        return seconds;
    throw new errors_StepError(`Input timeout-seconds is not a whole number from 1 to ${MAX_TIMEOUT_SECONDS}: give the seconds that a step may ` +
        `keep trying, such as ${DEFAULTS['timeout-seconds']}, or leave it out.`);
}
function read(name) {
    return process.env[`INPUT_${name.toUpperCase()}`]?.trim() || DEFAULTS[name];
}
function checkCredential(name, value) {
    if (typeof value !== 'string' || value === '') {
        throw new errors_StepError(`Input ${name} is empty: check the name of the secret. A secret of an environment needs "environment" on the ` +
            `job, a reusable workflow needs "secrets: inherit", Dependabot uses its own secrets, and forks get none.`);
    }
    // The first test spares nearly every job the second, for which V8 looks up large Unicode sets.
    if (!/^[ -~]*$/.test(value) && new RegExp(INVISIBLE, 'u').test(value)) {
        throw new errors_StepError(`Input ${name} holds a line break or another character that can't be seen: store the value again, as one line.`);
    }
    return value;
}
/** YAML 1.2 booleans, as `getBooleanInput` of the toolkit reads them. */
function parseBoolean(name, text) {
    if (['true', 'True', 'TRUE'].includes(text))
        return true;
    if (['false', 'False', 'FALSE'].includes(text))
        return false;
    throw new errors_StepError(`Input ${name} is not a boolean: give true or false, or leave it out.`);
}
/** The URL parser has already brought every spelling of an IPv4 or IPv6 address to its normal form. */
function isLoopback(hostname) {
    return hostname === 'localhost' || hostname === '[::1]' || /^127\.\d+\.\d+\.\d+$/.test(hostname);
}

;// CONCATENATED MODULE: ./src/runner/state.ts




/** The one key. A key that main has not saved could be forged by a later step, through GITHUB_ENV. */
const KEY = 'state';
/** Post gets the state as an environment variable, which Windows limits to about 32,000 characters. */
const STATE_LIMIT = 30_000;
/**
 * Opens the state of the main step by saving it for the first time, with nothing in it.
 *
 * @throws StepError if the runner's state file can't be written
 */
function openState() {
    let held = [];
    let saved = { tokens: held };
    const without = (tokens) => held.filter((token) => !tokens.includes(token));
    const save = (changed) => {
        const text = JSON.stringify(changed);
        if (text.length > STATE_LIMIT) {
            throw new errors_StepError("The Dashboard sent more tokens, or longer ones, than fit in the runner's state: check api-url.");
        }
        append('STATE', { [KEY]: text });
        saved = changed;
    };
    save(saved);
    return {
        tokens: () => held,
        /** Whether the post step will know of all tokens held. */
        isSaved: () => held.every((token) => saved.tokens.includes(token)),
        /** Takes tokens in: they are masked, and revoked by one of the steps. @throws StepError if they can't be saved */
        hold(tokens, of) {
            for (const token of tokens)
                mask(token);
            // Until the latest expiry one of them may be alive; nobody knows until when if one answer did not say.
            const expiries = held.length === 0 ? [of.expiry] : [saved.expiry, of.expiry];
            const isKnown = expiries.every((expiry) => expiry !== undefined);
            const expiry = isKnown ? expiries.toSorted((a, b) => b.hereMs - a.hereMs)[0] : undefined;
            held = [...without(tokens), ...tokens];
            save({ ...of, expiry, tokens: held });
        },
        /** Lets go of a token that is to stay alive. @throws StepError if that can't be saved */
        letGo(token) {
            save({ ...saved, tokens: without([token]), leftAlive: true });
            held = saved.tokens;
        },
        /** Forgets tokens that have been revoked. */
        drop(tokens) {
            held = without(tokens);
            try {
                save({ ...saved, tokens: held });
            }
            catch {
                // Post revokes them once more, which does no harm (RFC 7009, section 2.2).
            }
        },
    };
}
/**
 * Reads what the main step saved: whole, or not at all. If it saved nothing, it has requested nothing.
 *
 * @throws StepError if it came back damaged
 */
function loadState() {
    const text = process.env[`STATE_${KEY}`];
    if (text === undefined)
        return { tokens: [] };
    try {
        return parseSaved(JSON.parse(text));
    }
    catch (cause) {
        const problem = text === '' ? 'is empty' : "can't be read";
        throw new StepError(`The state that the main step saved ${problem}, so an access token may be alive for up to a day. To end it ` +
            'sooner, delete its credentials on the Developer Tools page.', { cause });
    }
}
function parseSaved(value) {
    const { tokens, settings, fingerprint, expiry, leftAlive } = Object(value);
    const isWhole = Array.isArray(tokens) &&
        tokens.every((token) => typeof token === 'string' && token !== '') &&
        (tokens.length === 0 || (settings !== undefined && typeof fingerprint === 'string')) &&
        (expiry === undefined || new Date(expiry.at).toISOString() === expiry.at) &&
        (expiry === undefined || Number.isFinite(expiry.hereMs)) &&
        (leftAlive === undefined || leftAlive === true);
    if (!isWhole)
        throw new TypeError('a part is missing or of another type');
    return { tokens, settings: settings && parseSettings(settings), fingerprint, expiry, leftAlive };
}

;// CONCATENATED MODULE: ./src/main-step.ts






/** The time for a revocation that the post step can repeat. */
const QUICK_REVOCATION_MS = 1_000;
/**
 * The main step: gets an access token and hands it out.
 *
 * @returns the closing line of the log
 * @throws StepError; a token that was received by then is revoked, or left to the post step to revoke
 */
async function mainStep(life) {
    const state = openState();
    const { settings, clientSecret, skipTokenRevoke } = readInputs();
    const dashboard = createDashboardClient(settings, clientSecret, life, log_namespaceObject);
    try {
        const { token, expiry } = await dashboard.requestToken((tokens, expiry) => state.hold(tokens, { settings, fingerprint: fingerprintOf(settings, clientSecret), expiry }));
        await revokeUnused(state, dashboard, token);
        await life.catchUp();
        // No await from here on, so that no signal can come in between.
        append('OUTPUT', { token, 'expires-at': expiry?.at ?? '' });
        if (skipTokenRevoke)
            state.letGo(token);
        const validity = expiry ? `valid until ${expiry.at}` : 'and did not say how long it is valid';
        const fate = skipTokenRevoke
            ? 'It stays alive: skip-token-revoke is true.'
            : 'It will be revoked when this job ends.';
        info(`${settings.apiUrl} issued an access token, ${validity}.`);
        return `Available as output \`token\`, masked in the log. ${fate}`;
    }
    catch (error) {
        await revokeUnused(state, dashboard);
        throw error;
    }
}
/**
 * Revokes the tokens that were received and are not handed out. The post step may never come (a runner that shuts down
 * skips it), and may not know of them.
 *
 * @param used the one that is handed out
 * @throws StepError if a token can't be revoked, and the post step does not know of it
 */
async function revokeUnused(state, dashboard, used) {
    const unwanted = state.tokens().filter((token) => token !== used);
    if (unwanted.length === 0)
        return;
    const { revoked, failure } = await dashboard.revoke(unwanted, state.isSaved() ? QUICK_REVOCATION_MS : undefined);
    state.drop(revoked);
    if (revoked.length > 0)
        info('Revoked an access token that was received but not handed out.');
    if (failure === undefined)
        return;
    const reason = clause(failure);
    if (state.isSaved())
        return info(`The post step will revoke an access token that could not be revoked now: ${reason}`);
    throw new errors_StepError('An access token could neither be saved for the post step nor revoked, and stays valid for up to a day. To end ' +
        `it sooner, delete its credentials on the Developer Tools page. The reason: ${reason}`, { cause: failure });
}

;// CONCATENATED MODULE: ./src/runner/lifecycle.ts


/** The oldest Node that a step can run on. */
const OLDEST_NODE = 20;
/**
 * After a signal the runner waits 7.5 s before it sends the next one, and kills the process 2.5 s later. Six of them
 * are used: four for an answer that is under way, the rest to revoke what it brought.
 */
const LAST_ANSWER_MS = 4_000;
const OVER_MS = 6_000;
const STOPPED = 'The runner told this step to stop: the job was cancelled, the step reached its timeout-minutes, or the runner ' +
    'itself is shutting down.';
/**
 * Runs a step from start to end. What becomes of it is decided once: by what the step gives, by an error that nothing
 * caught, or by an event loop that runs dry. That is reported, and nothing that comes later changes it.
 *
 * @param step gives the closing line of the log; rejects with a StepError, or with another error where the action has a
 *   defect
 * @param level what a failure is: an error makes the step red, a warning does not
 */
function runStep(step, level = 'error') {
    let decided = false;
    const decide = (report, exitCode) => {
        if (decided)
            return;
        decided = true;
        report();
        process.stdout.write('', () => endProcess(exitCode));
    };
    const succeed = (line) => decide(() => info(line), 0);
    const fail = (error) => decide(() => report(level, error), level === 'error' ? 1 : 0);
    // Node ends with 0 when its event loop runs dry, even if the step still waits for something.
    process.on('beforeExit', () => fail(new Error('the event loop ran dry')));
    process.on('uncaughtException', fail);
    run(step).then(succeed, fail);
}
async function run(step) {
    if (Number.parseInt(process.versions.node, 10) < OLDEST_NODE) {
        throw new errors_StepError(`This action needs Node ${OLDEST_NODE} or newer, and was started with ${process.version}: use a newer runner, ` +
            'or another image for its jobs.');
    }
    const shutdown = watchSignals();
    let brokenOutput;
    process.stdout.on('error', (error) => {
        brokenOutput = error;
    });
    const catchUp = async () => {
        // On Windows it writes to pipes in the background; elsewhere all is written by now, or known not to be.
        if (process.stdout.writableLength > 0)
            await new Promise((resolve) => process.stdout.write('', resolve));
        // Node delivers signals only when it polls for events. The second turn of the event loop is the first that is sure
        // to come after a poll.
        for (let turn = 0; turn < 2; turn += 1)
            await new Promise((resolve) => setImmediate(resolve));
        shutdown.begun.throwIfAborted();
        if (brokenOutput === undefined)
            return;
        throw new errors_StepError(`The log can't be written (${errorCode(brokenOutput)}), so the access token can't be masked and ` +
            'is not handed out: make sure that the runner is up and has space left on its disk.', { cause: brokenOutput });
    };
    return step({ ...shutdown, catchUp });
}
function watchSignals() {
    const begun = new AbortController();
    const lastAnswer = new AbortController();
    const over = new AbortController();
    const onSignal = () => {
        const reason = new errors_StepError(STOPPED);
        begun.abort(reason);
        setTimeout(() => lastAnswer.abort(reason), LAST_ANSWER_MS);
        setTimeout(() => over.abort(reason), OVER_MS);
    };
    // On Windows SIGBREAK is what SIGTERM is elsewhere. None of them is ever let go of again: a signal that came late
    // would end the process in the middle of its report.
    for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGBREAK'])
        process.on(name, onSignal);
    return { begun: begun.signal, lastAnswer: lastAnswer.signal, over: over.signal };
}
/**
 * Ends the process now. Left to itself, Node would tidy up first, and wait for what is still open.
 *
 * A name lookup can't be aborted, and even `process.exit` waits for it: a name server that is silent would hold the
 * step long past its time. There the process becomes another one that ends at once.
 */
function endProcess(exitCode) {
    if (process.getActiveResourcesInfo().includes('GetAddrInfoReqWrap')) {
        if (process.platform !== 'win32' && process.execve !== undefined) {
            const ends = `process.exitCode = ${exitCode}`;
            process.execve(process.execPath, [process.execPath, '--eval', ends], { ...process.env, NODE_OPTIONS: '' });
        }
        if (exitCode !== 0)
            process.kill(process.pid, 'SIGKILL');
    }
    process.exit(exitCode);
}

;// CONCATENATED MODULE: ./src/main.ts


runStep(mainStep);

})();

module.exports = __webpack_exports__;
/******/ })()
;