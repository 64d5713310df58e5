/******/ (() => { // webpackBootstrap
/******/ 	var __webpack_modules__ = ({

/***/ 86:
/***/ ((__unused_webpack_module, exports) => {

var __webpack_unused_export__;
// @actions/core imports `@actions/exec` for the names of operating systems, and @actions/http-client imports `undici`
// and `tunnel`: for a method that this action never calls, and for proxies, which src/dashboard/proxy.ts does in its
// place.
const leftOut = (name) =>
  function leftOutOfTheBundle() {
    throw new Error(`${name} is left out of this bundle, see CONTRIBUTING.md.`);
  };

__webpack_unused_export__ = leftOut('@actions/exec');
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

// NAMESPACE OBJECT: ./src/runner/logger.ts
var logger_namespaceObject = {};
__nccwpck_require__.r(logger_namespaceObject);
__nccwpck_require__.d(logger_namespaceObject, {
  asStepError: () => (asStepError),
  debug: () => (logger_debug),
  hide: () => (hide),
  info: () => (logger_info),
  mask: () => (mask),
  own: () => (own),
  report: () => (report),
  secrets: () => (secrets)
});

;// CONCATENATED MODULE: ./src/shared/clock.ts
/** A moment in milliseconds, on a clock that no change of the time of day moves. All limits are such moments. */
function now() {
    // Not performance.now(): Node loads a module of its own for it, at the start of every step.
    return Number(process.hrtime.bigint()) / 1e6;
}
/** Lets Node take in what came while it was busy, such as signals and data: in turns of its event loop, for 0.2 s. */
async function turns(count) {
    const end = now() + 200;
    for (let turn = 0; turn < 2 || (turn < count && now() < end); turn += 1)
        await new Promise(setImmediate);
}

;// CONCATENATED MODULE: ./src/shared/errors.ts
/** An error that says what happened and what to do. Every other error is a defect of the action. */
class errors_StepError extends Error {
    name = 'StepError';
    /** The heading that explains it in docs/troubleshooting.md, as a link has it. */
    help;
    constructor(help, message, cause) {
        super(message, { cause });
        this.help = help;
    }
}
/** Makes an error of a failure, with why nothing else is tried, and what to do about that. */
function errorOf({ explanation, cause }, why = '', more = '') {
    const [help, what, advice] = explanation;
    return new errors_StepError(help, `${what.charAt(0).toUpperCase()}${what.slice(1)}${why}. ${advice} ${more}`.trim(), cause);
}
/** The code that Node or the system names an error by, such as ENOSPC. */
function errorCode(error) {
    const { code } = Object(error);
    return typeof code === 'string' ? code : undefined;
}

;// CONCATENATED MODULE: ./src/dashboard/answers.ts
/** RFC 6749, appendix A.12, less the space, which no header could carry in a token. */
const PRINTABLE_ASCII = /^[\x21-\x7e]+$/;
/** The field that holds a token, and its value whole, wherever it stands. The state has no room for longer ones. */
const TOKEN_FIELD = /"access_token"\s{0,99}:\s{0,99}("(?:[^"\\]|\\.){1,30000}")/;
/** The date formats of RFC 9110, section 5.6.7, all start with the name of a day. */
const HTTP_DATE = /^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun).{10,30}$/;
/** The last moment that a Date can hold, in milliseconds since the epoch. */
const LAST_DATE = 8.64e15;
/** An object that is not whole, or what is no text: compressed in another way, say. */
const DAMAGED_OBJECT = /^\s{0,99}\{|[\0\ufffd]/;
/** Nothing, or what some frameworks send in its place. */
const EMPTY_BODY = /^\s{0,99}(?:\{\}|null|""|\[\])?\s{0,99}$/;
/** Finds the token of an answer, usable or not: that at its usual place, or else the first that is complete. */
function findToken({ body }) {
    const token = parseJsonObject(body)?.get('access_token') ?? parseJson(TOKEN_FIELD.exec(body)?.[1] ?? '');
    return typeof token === 'string' && token.trim() !== '' ? token : undefined;
}
/** Says why a successful answer to a token request can't be used, if so (RFC 6749, sections 5.1 and 7.1): a clause. */
function whyUnusable({ body, problem }, token) {
    const fields = parseJsonObject(body);
    // Behind the token the answer may have broken off.
    const isObject = fields !== undefined || (problem !== undefined && token && body.trimStart().startsWith('{'));
    if (!isObject)
        return 'is not a JSON object';
    const isAtItsPlace = fields === undefined || fields.get('access_token') === token;
    if (token === undefined || !isAtItsPlace)
        return fields?.has('error') ? 'holds an error' : 'holds no access_token';
    if (!PRINTABLE_ASCII.test(token))
        return 'holds an access_token with characters that no token may have';
    const type = fields?.get('token_type');
    const isOther = typeof type === 'string' && !/^(?:bearer)?$/i.test(type.trim());
    return isOther ? 'holds a token_type other than Bearer' : undefined;
}
/** Reads when a token expires, in ISO 8601: by the Date of the answer, or else from `requestedAt` (Unix time in ms). */
function readExpiry({ headers, body }, requestedAt) {
    const expiresIn = parseJsonObject(body)?.get('expires_in');
    const seconds = typeof expiresIn === 'object' ? Number.NaN : Number.parseFloat(String(expiresIn));
    if (!(seconds > 0))
        return undefined;
    return new Date(Math.min((parseDate(headers.date) ?? requestedAt) + seconds * 1_000, LAST_DATE)).toISOString();
}
/** Reads Retry-After (RFC 9110, section 10.2.3), in milliseconds. A date counts from the Date of the same answer. */
function retryAfterMs(headers) {
    const text = headers['retry-after']?.trim() ?? '';
    if (/^\d{1,400}$/.test(text))
        return Math.min(Number(text), 999_999_999) * 1_000;
    const date = parseDate(text);
    return date === undefined ? undefined : Math.max(0, date - (parseDate(headers.date) ?? Date.now()));
}
/** Whether an answer confirms a revocation: 200, and nothing in the body (RFC 7009, section 2.2). */
function isConfirmation(response) {
    return response.status === 200 && EMPTY_BODY.test(response.body) && !isOfFirewall(response);
}
/** Whether an answer is that of AWS WAF, which wants a browser to solve a challenge. */
function isOfFirewall({ status, headers }) {
    return status === 202 || headers['x-amzn-waf-action'] !== undefined;
}
/** Whether a token may have been issued that did not come: no answer, that of a gateway, or one that can't be read. */
function leavesDoubt({ status, body, problem }) {
    if (problem !== undefined)
        return problem.stage === 'answer';
    // How gateways say that they got no answer, or one that they don't understand. The last two are Cloudflare's.
    if (status < 200 || status >= 300)
        return [502, 504, 520, 524].includes(status);
    return parseJsonObject(body) === undefined && DAMAGED_OBJECT.test(body);
}
/** Reads a JSON object into a map, so that no name in it means anything to JavaScript. */
function parseJsonObject(text) {
    const value = parseJson(text);
    const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
    return isObject ? new Map(Object.entries(value)) : undefined;
}
function parseJson(text) {
    try {
        return JSON.parse(text.replace(/^\ufeff/, ''));
    }
    catch {
        return undefined;
    }
}
function parseDate(text = '') {
    if (!HTTP_DATE.test(text))
        return undefined;
    // The asctime format names no time zone, and means UTC.
    const date = Date.parse(text.endsWith('GMT') ? text : `${text} GMT`);
    return Number.isNaN(date) ? undefined : date;
}

;// CONCATENATED MODULE: external "node:http"
const external_node_http_namespaceObject = require("node:http");
;// CONCATENATED MODULE: external "node:util"
const external_node_util_namespaceObject = require("node:util");
;// CONCATENATED MODULE: ./src/shared/text.ts
/** How much of a text from elsewhere is looked at, and how much of it a message may carry, in characters. */
const LOOKED_AT = 500;
const SHOWN = 200;
/** A word as error messages have them, with the punctuation around it, or a number. A longer one could carry more. */
const WORD = /^(?=.{1,24}$)["'(]*(?:(?:[A-Za-z][a-z]+|[aAI])(?:[-_'][a-z]+)*|[A-Z]{2,5}|\d{1,6})["').,:;!?]*$/;
/** Three numbers, or words of one or two letters, in a row may spell something. */
const SPELLED_OUT = /(?:\W*\b(?:\d+|\w{1,2})\b){3,}/g;
const PATTERNS = {
    code: /^(?=.{2,40}$)(?:[a-z]+(?:[_.-][a-z]+)*|[A-Z]+(?:_[A-Z]+)*)$/,
    header: /^[\w .,:;/()+=*@-]{1,100}$/,
    // An IPv4 address, or a name that spells nothing.
    host: /^(?:[\d.]{7,15}|(?=.{1,253}$)(?!.*(?:\b(?:\d+|\w{1,2})[.-]){3})[a-z\d_-]{1,63}(?:\.[a-z\d_-]{1,63})*)$/,
};
/** Takes secrets out of a text in which they stand as they are. The longest first: one may be a part of another. */
function redact(text, secrets) {
    const longestFirst = [...secrets].sort((a, b) => b.length - a.length);
    return longestFirst.reduce((redacted, secret) => redacted.replaceAll(secret, '***'), text);
}
/**
 * What may be shown of a text from elsewhere: its words, on one line. What is no word becomes `…`: a secret in whatever
 * encoding, a command for the runner. The text is cut first, which bounds the work.
 */
function wordsOf(text, secrets) {
    const free = redact(text.trim(), secrets);
    const cut = free.length <= LOOKED_AT ? free : free.slice(0, LOOKED_AT + 1).replace(/\S*$/, '');
    const isLike = likenessTo(secrets);
    const words = cut.split(/\s+/).map((run) => (WORD.test(run) && !isLike(run) ? run : '…'));
    const spelled = words.join(' ').replace(SPELLED_OUT, ' …');
    const shown = spelled.replace(/…(?:\W*…)+/g, '…').slice(0, SHOWN);
    return shown.trim().replace(/^…$/, '');
}
/** What may be shown of an error code, a header or a host from elsewhere: all of it, or nothing. */
function wholeOf(kind, text, secrets) {
    const isShown = PATTERNS[kind].test(text) && ![text, ...text.split(/[^A-Za-z\d]+/)].some(likenessTo(secrets));
    return isShown ? text : '';
}
/** Tells whether a run of characters has letters and digits in a row that a secret has too, in some spelling of it. */
function likenessTo(secrets) {
    const spellings = [...secrets].flatMap((secret) => {
        const bytes = Buffer.from(secret);
        return [secret, [...secret].reverse().join(''), bytes.toString('hex'), bytes.toString('base64')].map(lettersOf);
    });
    return (run) => spellings.some((spelling) => shareLetters(lettersOf(run), spelling));
}
/** Eight in a row, or all that one of them has. Two, such as those of "is", are a part of nearly every secret. */
function shareLetters(a, b) {
    const length = Math.min(8, a.length, b.length);
    const starts = length < 3 ? [] : Array.from({ length: a.length - length + 1 }, (_, index) => index);
    return starts.some((start) => b.includes(a.slice(start, start + length)));
}
function lettersOf(text) {
    return text.replace(/[^a-z\d]/gi, '').toLowerCase();
}

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
;// CONCATENATED MODULE: external "node:net"
const external_node_net_namespaceObject = require("node:net");
;// CONCATENATED MODULE: external "node:tls"
const external_node_tls_namespaceObject = require("node:tls");
;// CONCATENATED MODULE: ./src/dashboard/connection.ts


/** Reads where a URL leads to. */
function targetOf(url) {
    const { protocol, hostname, port: given } = new URL(url);
    const isTls = protocol === 'https:';
    const port = Number(given || (isTls ? 443 : 80));
    // Node takes an IPv6 address without the brackets.
    return { host: hostname.replace(/^\[(.*)\]$/, '$1'), port, authority: `${hostname}:${port}`, isTls };
}
/** Connects to a host or a proxy, through a tunnel if there is one, and tells how far that comes. */
function connect(target, addressMs, whose, onStage, tunnel) {
    const { host, port, isTls } = target;
    const isName = (0,external_node_net_namespaceObject.isIP)(host) === 0;
    const tcp = { host, port, autoSelectFamilyAttemptTimeout: addressMs };
    const tls = { ...tcp, servername: isName ? host : '', ...(tunnel && { socket: tunnel }) };
    const socket = isTls ? (0,external_node_tls_namespaceObject.connect)(tls) : (0,external_node_net_namespaceObject.connect)(tcp);
    const first = isName ? 'lookup' : 'connection';
    onStage(tunnel ? 'handshake' : `${whose}${first}`);
    socket.once('lookup', () => onStage(`${whose}connection`));
    socket.once('connect', () => onStage(`${whose}${isTls ? 'handshake' : 'answer'}`));
    socket.once('secureConnect', () => onStage(`${whose}answer`));
    return socket;
}

;// CONCATENATED MODULE: ./src/dashboard/proxy.ts



/** Scheme, credentials, host, port and at most a slash. The credentials end at the last @: a password may hold one. */
const ADDRESS = /^(?:(https?):\/\/)?(?![^/@:]*:\/\/)(?:(.*)@)?([a-z\d_][\w.-]{0,252}|\[[\da-f:.]+\])(:[1-9]\d{0,4})?\/?$/is;
/** Chooses the environment's proxy, unless `no_proxy` excludes the host. @throws StepError that shows none of it */
function chooseProxy(apiUrl) {
    const [name, value] = proxyVariable();
    const target = new URL(apiUrl);
    if (value === '' || target.protocol !== 'https:' || checkBypass(target))
        return undefined;
    const proxy = parseProxy(value);
    if (proxy !== undefined)
        return proxy;
    const form = 'http://user:password@host:port, with special characters percent-encoded';
    throw new errors_StepError('the-proxy-address-is-not-valid', `${name} is not the address of an HTTP proxy: give ${form}.`);
}
/** Finds the proxy of the main step again, for post. The environment gives its credentials, if it still names it. */
function recallProxy(url) {
    if (url === null)
        return undefined;
    const proxy = parseProxy(proxyVariable()[1]);
    return proxy?.url === url ? proxy : parseProxy(url);
}
function proxyVariable() {
    const variables = ['https_proxy', 'HTTPS_PROXY'].map((name) => [name, process.env[name]?.trim() ?? '']);
    return variables.find(([, value]) => value !== '') ?? ['', ''];
}
/** The way to the Dashboard, as messages have it. */
function through(proxy) {
    return proxy === undefined ? '' : ` through the proxy ${proxy.name}`;
}
/** Reads the address of a proxy; undefined if it is anything else. */
function parseProxy(text) {
    const [, scheme = 'http', credentials = '', host = '', port = ''] = ADDRESS.exec(text) ?? [];
    const address = `${scheme}://${host}${port}`;
    if (!URL.canParse(address))
        return undefined;
    const { protocol, hostname } = new URL(address);
    // A name that a URL reads otherwise is a number: 3128 would be 0.0.12.56.
    if (hostname !== host.toLowerCase() && !host.startsWith('['))
        return undefined;
    const name = targetOf(address).authority;
    const [, user = '', password = ''] = /^([^:]*):?(.*)$/s.exec(credentials) ?? [];
    // A user without a password may be a token.
    const secret = password || user;
    try {
        const basic = Buffer.from(`${decodeURIComponent(user)}:${decodeURIComponent(password)}`).toString('base64');
        return {
            url: `${protocol}//${name}`,
            name,
            authorization: secret && `Basic ${basic}`,
            secrets: secret === '' ? [] : [secret, decodeURIComponent(secret), basic],
        };
    }
    catch {
        return undefined;
    }
}

;// CONCATENATED MODULE: external "node:crypto"
const external_node_crypto_namespaceObject = require("node:crypto");
;// CONCATENATED MODULE: external "node:fs"
const external_node_fs_namespaceObject = require("node:fs");
;// CONCATENATED MODULE: external "node:https"
const external_node_https_namespaceObject = require("node:https");
;// CONCATENATED MODULE: external "http"
const external_http_namespaceObject = require("http");
var external_http_namespaceObject_0 = /*#__PURE__*/__nccwpck_require__.t(external_http_namespaceObject, 2);
;// CONCATENATED MODULE: external "https"
const external_https_namespaceObject = require("https");
var external_https_namespaceObject_0 = /*#__PURE__*/__nccwpck_require__.t(external_https_namespaceObject, 2);
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
class lib_HttpClient {
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
;// CONCATENATED MODULE: ./src/dashboard/http.ts






/** Product and version; kept equal to package.json by a test. */
const USER_AGENT = 'formlabs-dashboard-token/1.2.0';
/** More of a head or a body than this is not read, in bytes: the answers of the API are far smaller. */
const SIZE_LIMIT = 1_024 * 1_024;
/** How long each address of a host gets at most. Node gives it 250 ms, which is less than one packet may take. */
const ADDRESS_MS = 5_000;
/** Enough turns of the event loop to read as much. */
const LAST_TURNS = 50;
// Certificates are checked always: with this variable Node would send the client secret to anyone in between.
const INSECURE_WANTED = process.env['NODE_TLS_REJECT_UNAUTHORIZED'] === '0';
delete process.env['NODE_TLS_REJECT_UNAUTHORIZED'];
const REFUSED_CLIENT = /_ALERT_(?:\w*CERTIFICATE|UNKNOWN_CA|ACCESS_DENIED|HANDSHAKE_FAILURE)/;
/** Whether an answer came in full, and says that the request has worked. */
function isSuccess({ problem, status }) {
    return problem === undefined && status >= 200 && status < 300;
}
/** Posts a form, once. No redirect is followed, since the form holds the client secret. Never rejects. */
async function postForm(url, form, limits) {
    const progress = { stage: 'lookup', chunks: [] };
    const exchanged = exchange(url, new URLSearchParams(form).toString(), limits, progress);
    const problem = await withinLimits(exchanged, limits, progress);
    const { statusCode: status = 0, headers = {} } = progress.message ?? {};
    const response = { status, headers, body: await decode(progress.chunks, problem), problem };
    // No connection is left behind, and an answer that nobody waits for any more does not come in.
    if (!isSuccess(response))
        progress.connection?.destroy();
    return response;
}
async function exchange(url, body, limits, progress) {
    // Not 3 minutes, but never: the request has timers of its own.
    const client = new lib_HttpClient(USER_AGENT, [], { socketTimeout: 2 ** 31 - 1 });
    const target = targetOf(url);
    const options = {
        ...target,
        defaultPort: target.isTls ? 443 : 80,
        method: 'POST',
        path: new URL(url).pathname,
        headers: {
            accept: 'application/json',
            'accept-encoding': 'identity',
            'content-type': 'application/x-www-form-urlencoded',
            // The process ends before Node would have closed the connection in order.
            connection: 'keep-alive',
            'user-agent': USER_AGENT,
        },
        maxHeaderSize: SIZE_LIMIT,
        createConnection: (_, onSocket) => http_open(target, limits, progress, onSocket),
    };
    // Not request(), whose tunnels take the certificate of a proxy for that of the host behind it.
    const info = { options, parsedUrl: new URL(url), httpModule: target.isTls ? external_node_https_namespaceObject : external_node_http_namespaceObject };
    const { message } = await client.requestRaw(info, body);
    progress.message = message;
    // A body that came with its head is there. To the end of the stream Node would see to the connection first.
    const wholeBody = message.complete ? [message.read(message.readableLength) ?? Buffer.alloc(0)] : undefined;
    let size = 0;
    // Not readBody(), which has no limit, and never settles when the connection breaks.
    for await (const chunk of wholeBody ?? message) {
        progress.chunks.push(chunk);
        size += chunk.length;
        if (size > SIZE_LIMIT)
            return;
    }
}
/**
 * Opens the connection of a request. A proxy is asked as curl asks (RFC 9110, section 9.3.6): some refuse a CONNECT
 * without a User-Agent, or hang up at `Connection: close`. Node's own `proxyEnv` hides refusals, and is new in 24.5.
 */
function http_open(target, { proxy, endsAt }, progress, onSocket) {
    const addressMs = Math.ceil(Math.min(ADDRESS_MS, Math.max(1, endsAt - now()) / 4));
    const onStage = (stage) => Object.assign(progress, { stage });
    const fail = (error) => progress.fail?.(error);
    const start = (tunnel) => {
        const socket = connect(target, addressMs, '', onStage, tunnel);
        // Of some ends, such as that after status 101, Node does not tell.
        socket.once('close', () => turns(LAST_TURNS).then(() => fail(new Error('the connection was closed'))));
        progress.connection = socket;
        return socket;
    };
    if (proxy === undefined)
        return start();
    const { authority: path } = target;
    const credentials = proxy.authorization && { 'proxy-authorization': proxy.authorization };
    const headers = { host: path, ...credentials, 'user-agent': USER_AGENT, 'proxy-connection': 'keep-alive' };
    const createConnection = () => connect(targetOf(proxy.url), addressMs, 'proxy ', onStage);
    const transport = { maxHeaderSize: SIZE_LIMIT, createConnection };
    const request = external_node_http_namespaceObject.request({ method: 'CONNECT', path, headers, setDefaultHeaders: false, ...transport });
    request.once('connect', (answer, tunnel, head) => {
        // What came behind the answer belongs to the tunnel.
        tunnel.unshift(head);
        const { statusCode = 0 } = answer;
        if (statusCode >= 200 && statusCode < 300)
            return onSocket(null, start(tunnel));
        Object.assign(progress, { message: answer, connection: tunnel });
        fail(new Error('the proxy opened no tunnel'));
    });
    progress.connection = request.on('error', fail).end();
    return undefined;
}
/** A server may compress a body unasked, and without saying so: gzip begins with 0x1f8b, and no text does. */
async function decode(chunks, problem) {
    const body = Buffer.concat(chunks);
    if (body[0] !== 0x1f || body[1] !== 0x8b)
        return body.toString();
    const { constants, gunzipSync } = await Promise.resolve(/* import() */).then(__nccwpck_require__.t.bind(__nccwpck_require__, 522, 23));
    try {
        // A body that broke off gives what it can.
        const finishFlush = problem ? constants.Z_SYNC_FLUSH : constants.Z_FINISH;
        return gunzipSync(body, { finishFlush, maxOutputLength: SIZE_LIMIT }).toString();
    }
    catch {
        return body.toString();
    }
}
/** Resolves when the exchange ends, or has to: with what was wrong, or undefined if nothing was. */
function withinLimits(exchanged, limits, progress) {
    const { endsAt, endsAtStop, stop } = limits;
    const startedAt = now();
    return new Promise((resolve) => {
        const timers = [];
        const endAt = (moment) => {
            const timeoutMs = Math.max(0, moment - startedAt);
            const giveUp = () => end({ stage: progress.stage, timeoutMs });
            // Where the machine was paused, a timer comes before what lies in the socket.
            timers.push(setTimeout(() => turns(LAST_TURNS).then(giveUp), Math.max(0, moment - now())));
        };
        const onStop = () => endAt(endsAtStop(progress.stage === 'answer'));
        const end = (problem) => {
            for (const timer of timers)
                clearTimeout(timer);
            stop.removeEventListener('abort', onStop);
            resolve(problem);
        };
        progress.fail = (cause) => {
            // In TLS 1.3, a server refuses a client when the handshake has ended.
            const isRefusal = REFUSED_CLIENT.test(String(errorCode(cause))) && !progress.stage.startsWith('proxy');
            end({ stage: isRefusal ? 'handshake' : progress.stage, cause });
        };
        endAt(endsAt);
        stop.addEventListener('abort', onStop);
        exchanged.then(() => end(), progress.fail);
    });
}

;// CONCATENATED MODULE: ./src/dashboard/tls.ts




/** Codes of certificates (nodejs.org/api/tls.html): with an underscore, and without a prefix that other errors have. */
const CERTIFICATE_ERROR = /^(?:(?!ERR_|HPE_|EAI_)[A-Z]+_[A-Z_]+|UNSPECIFIED|ERR_TLS_CERT_\w+)$/;
const UNTRUSTED = /^UNABLE_TO_(?:GET_ISSUER|VERIFY_LEAF)|SELF_SIGNED|CERT_UNTRUSTED/;
/** Other errors of TLS; those that may pass; and those of a peer that speaks another TLS. */
const TLS_ERROR = /^(?:EPROTO$|ERR_(?:SSL|TLS|OSSL)_)/;
const PASSING = /bad[_ ]record[_ ]mac|internal[_ ]error/i;
const OTHER_TLS = /renegotiation|unsupported|no[_ ]protocols|cipher|dh[_ ]key|signature|group/i;
const CHECK_ADDRESS = 'Check api-url, and any proxy or gateway in between.';
const RENEW = 'Check the clock of the runner. If it is right, this certificate or its authority has to be renewed.';
const REPLACE = 'This certificate or its authority has to be replaced.';
const IGNORED = ' NODE_TLS_REJECT_UNAUTHORIZED=0 is ignored: anyone in between could read the client secret.';
const NO_FILE = 'NODE_USE_SYSTEM_CA=1 needs no file: it uses the certificates of the system.';
/** Explains an error of TLS that another attempt can't change, if it is one. The words of OpenSSL are fixed texts. */
function explainTls(error, peer, plainAdvice) {
    const code = errorCode(error) ?? '';
    if (CERTIFICATE_ERROR.test(code))
        return explainCertificate(code, String(Object(error).message), peer);
    const { reason } = Object(error);
    const words = reason ?? /:SSL routines:[^:]*:([\w ]{1,80}):/.exec(String(error))?.[1];
    const text = `${code} ${words ?? error}`;
    if (!TLS_ERROR.test(code) || PASSING.test(text))
        return undefined;
    const shown = words === undefined ? code : `${code}, ${words}`;
    const refused = `the TLS handshake with ${peer} was refused (${shown})`;
    const client = `It may require a client certificate. ${CHECK_ADDRESS}`;
    if (/alert/i.test(text))
        return ['the-tls-handshake-was-refused', refused, client];
    const advice = OTHER_TLS.test(text) ? 'Its TLS is out of date, or that of something in between.' : plainAdvice;
    return ['no-tls-connection-is-possible', `no TLS connection to ${peer} is possible (${shown})`, advice];
}
function explainCertificate(code, message, peer) {
    const refused = (help, problem, advice) => {
        return [help, `the certificate of ${peer} ${problem} (${code})`, INSECURE_WANTED ? advice + IGNORED : advice];
    };
    if (UNTRUSTED.test(code))
        return refused('the-certificate-is-not-trusted', 'is not trusted', trustAdvice());
    if (code.includes('EXPIRED'))
        return refused('the-certificate-has-expired', 'has expired', RENEW);
    if (code.includes('NOT_YET_VALID'))
        return refused('the-certificate-has-expired', 'is not valid yet', RENEW);
    const isOther = /ALTNAME|HOSTNAME/.test(code);
    if (isOther)
        return refused('the-certificate-is-for-another-name', 'is for another name', CHECK_ADDRESS);
    const reason = /^[\w ,'()-]{1,100}/.exec(message)?.[0] ?? 'no reason was given';
    return refused('the-certificate-was-refused', `was refused: ${reason}`, REPLACE);
}
function trustAdvice() {
    const file = process.env['NODE_EXTRA_CA_CERTS'];
    const set = 'set NODE_EXTRA_CA_CERTS in the env of the job to the PEM file of that authority';
    if (!file)
        return `If a proxy or a server uses a private certificate authority, ${set}. ${NO_FILE}`;
    return `The file in NODE_EXTRA_CA_CERTS ${describe(file)}. ${NO_FILE}`;
}
function describe(file) {
    let [found, read] = [0, 0];
    try {
        const parts = (0,external_node_fs_namespaceObject.readFileSync)(file, 'latin1').split(/(?=-----BEGIN )/);
        const certificates = parts.filter((part) => /^-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----/.test(part));
        found = certificates.length;
        // Node reads them up to the first that is damaged.
        for (; read < found; read += 1)
            new external_node_crypto_namespaceObject.X509Certificate(certificates[read] ?? '');
        if (found === 0)
            return 'holds no certificate in PEM format';
        return `holds ${found} certificate(s), and lacks the authority that signed it`;
    }
    catch (error) {
        if (found > 0)
            return `is damaged from certificate ${read + 1} of ${found} on`;
        return `can't be read (${errorCode(error)}); in a container, the path is inside it`;
    }
}

;// CONCATENATED MODULE: ./src/dashboard/explain.ts







const PAGE = 'https://dashboard.formlabs.com/#developer';
const CHECK_CREDENTIALS = `Check that client-id and client-secret belong together and are still listed on ${PAGE}.`;
const NOT_SO = "not its name, an expression, a password manager's reference or a quoted value";
const UNDOCUMENTED = `Its API does not document this. ${CHECK_ADDRESS}`;
const CHECK_NETWORK = 'Check api-url, the proxy variables and the network of the runner.';
const CHECK_PATH = 'Usually api-url names the wrong host or path. Leave it out to use the Dashboard itself.';
const ANOTHER_SERVER = 'Usually a captive portal or another server answers in place of the Dashboard: check api-url.';
const FIREWALL = 'Usually a firewall asks for proof that the client is a browser. Run the job on another network.';
const OUTAGE = 'The Dashboard, or a gateway in front of it, has an outage.';
const FORBIDDEN = 'Usually a firewall or a proxy blocks the runner, api-url names another server, or the account of the credentials ' +
    `may not use the API: it needs a registered printer, see ${PAGE}.`;
const RATE_LIMIT = 'The limits are 100 requests a second for an address, 1,500 an hour for a user: start fewer jobs at once.';
const MAY_BE_CHANGED = `Something may be changing the answers. ${CHECK_ADDRESS}`;
const PLAIN_PROXY = 'If the proxy itself speaks plain HTTP, start https_proxy with http://.';
const PAGE_OF_PROXY = 'The proxy may have sent a page of its own, because it blocks the host: ask whoever runs it.';
const REJECTED_BY_PROXY = 'This is the proxy of the runner, not the Dashboard: check user and password in https_proxy.';
const WANTED_BY_PROXY = 'Put user and password into https_proxy: http://user:password@host:port.';
const OTHER_PROXY = 'Ask whoever runs it for a way in with Basic authentication, or with none.';
const REDIRECTED = 'Set api-url to the final address; a sign-in page means a captive portal.';
/** What to do about errors of OAuth (RFC 6749, section 5.2) that are not about the credentials, and which may pass. */
const OAUTH_ERRORS = new Map([
    ['unauthorized_client', [`These credentials may not use this grant: create new ones on ${PAGE}.`]],
    ['unsupported_grant_type', ['The server does not support the client credentials grant: check api-url.']],
    ['invalid_scope', ['The Dashboard requires no scope, so another server has answered: check api-url.']],
    ['invalid_request', [`The request did not arrive as it was sent. ${CHECK_ADDRESS}`]],
    ...['temporarily_unavailable', 'server_error', 'slow_down'].map((error) => [error, [OUTAGE, true]]),
]);
/** The heading for each stage, and what had not come when its time was over. */
const MISSING = {
    'proxy lookup': ['the-name-server-did-not-answer', 'the name server did not answer for the proxy'],
    'proxy connection': ['no-connection', 'no connection to the proxy'],
    'proxy handshake': ['the-tls-handshake-did-not-complete', 'the TLS handshake with the proxy did not complete'],
    'proxy answer': ['the-proxy-did-not-open-a-tunnel', 'the proxy did not open a tunnel'],
    lookup: ['the-name-server-did-not-answer', 'the name server did not answer'],
    connection: ['no-connection', 'no connection'],
    handshake: ['the-tls-handshake-did-not-complete', 'the TLS handshake did not complete'],
    answer: ['no-complete-answer', 'no complete answer'],
};
/** What a support desk asks for. */
const DEBUG_HEADERS = 'date server via content-type content-length retry-after cf-ray x-request-id x-amzn-requestid x-amzn-waf-action';
/** Describes an answer for debug logging. */
function explain_describe({ status, headers, problem }, ms, { secrets }) {
    const shown = DEBUG_HEADERS.split(' ').map((name) => [name, wholeOf('header', String(headers[name] ?? ''), secrets)]);
    const lines = shown.filter(([, value]) => value !== '').map((pair) => pair.join(': '));
    const answer = status === 0 ? 'No answer' : `${named(status)}${problem ? ', incomplete,' : ''}`;
    return [`${answer} after ${Math.round(ms)} ms`, ...lines].join('; ');
}
/** Explains a request that did not bring what it should. Only what another attempt can't change is final. */
function explain(response, context) {
    const { headers, problem } = response;
    const explanation = problem ? explainProblem(response, problem, context) : explainAnswer(response, context);
    const timedOut = problem?.timeoutMs === undefined ? undefined : problem.stage;
    return { explanation, retryAfterMs: retryAfterMs(headers), timedOut, cause: problem?.cause };
}
/** Explains why a successful answer to a token request, and the token in it, can't be used, if they can't. */
function explainUnusable(response, token, logger) {
    const reason = whyUnusable(response, token);
    if (reason === undefined)
        return undefined;
    const what = `the answer to the token request (${response.status}) ${reason}${detailsOf(response, logger.secrets)}`;
    const error = parseJsonObject(response.body)?.get('error');
    if (typeof error !== 'string')
        return explainOther(response, 'the-answer-has-no-usable-token', what);
    const [advice = CHECK_CREDENTIALS] = OAUTH_ERRORS.get(error) ?? [];
    return { explanation: ['the-credentials-were-not-accepted', what, advice] };
}
/** Explains an answer that says that a revocation has worked, but not as the standard has it. */
function explainUnconfirmed(response) {
    const what = `the revocation was answered with ${named(response.status)}, but not confirmed`;
    return explainOther(response, 'the-access-token-could-not-be-revoked', what);
}
function explainOther(response, help, what) {
    if (isOfFirewall(response))
        return { explanation: ['a-firewall-answered', what, FIREWALL] };
    return { explanation: [help, what, ANOTHER_SERVER] };
}
function explainAnswer(response, { url, oddInputs, logger }) {
    const { status, body } = response;
    const details = detailsOf(response, logger.secrets);
    if ([301, 302, 303, 307, 308].includes(status))
        return explainRedirect(response, url, logger);
    // The API answers 401 in JSON, and 400 with an error of OAuth; all else comes from something in between.
    const fields = parseJsonObject(body);
    if (fields !== undefined && (status === 401 || (status === 400 && fields.has('error')))) {
        const [advice, isTransient] = OAUTH_ERRORS.get(fields.get('error')) ?? [];
        const refused = `the Dashboard ${advice ? 'refused the request' : 'did not accept the credentials'} (${status})`;
        const odd = `The value of ${oddInputs.join(' and ')} has more in it than the letters and digits of a credential`;
        const check = `${CHECK_CREDENTIALS}${oddInputs.length > 0 ? ` ${odd}: pass the value itself, ${NOT_SO}.` : ''}`;
        return ['the-credentials-were-not-accepted', refused + details, advice ?? check, isTransient];
    }
    const answered = `the Dashboard answered ${named(status)}${details}`;
    const missing = `there is nothing at ${logger.own(url)} (404)`;
    const isTransient = mayPass(response);
    if (isPassing(status))
        return ['a-rate-limit-or-an-outage', answered, status === 429 ? RATE_LIMIT : OUTAGE, true];
    if (isOfFirewall(response))
        return ['a-firewall-answered', answered, FIREWALL, isTransient];
    if (status === 403)
        return ['403-forbidden', answered, FORBIDDEN, isTransient];
    if (status === 404)
        return ['404-not-found', missing, CHECK_PATH, isTransient];
    return ['an-undocumented-answer', answered, UNDOCUMENTED, isTransient];
}
function explainRedirect({ status, headers }, url, { secrets }) {
    const { location = '' } = headers;
    const isReadable = location !== '' && location.length <= 2_000 && URL.canParse(location, url);
    const host = isReadable ? wholeOf('host', new URL(location, url).hostname, secrets) : 'an unreadable address';
    const target = host || 'an address that is not shown';
    const what = `the Dashboard redirected the request (${status}) to ${target}; redirects are not followed, since they`;
    return ['the-request-was-redirected', `${what} would carry the client secret`, REDIRECTED];
}
function isPassing(status) {
    return status >= 500 || status === 408 || status === 425 || status === 429;
}
function mayPass({ status, headers }) {
    return isPassing(status) || (status >= 400 && headers['retry-after'] !== undefined);
}
function explainProblem(response, { stage, cause, timeoutMs }, context) {
    const { url, proxy, logger } = context;
    const dashboard = logger.own(new URL(url).host) + through(proxy);
    const [help, missing] = MISSING[stage];
    const noAnswer = (why, heading = help) => {
        return [heading, `no answer from ${dashboard}: ${why}`, CHECK_NETWORK, true];
    };
    if (timeoutMs !== undefined)
        return noAnswer(`${missing} within ${(timeoutMs / 1_000).toFixed(1)} s`);
    if (stage === 'proxy answer' && proxy && response.status > 0)
        return explainTunnel(response, proxy);
    const code = errorCode(cause) ?? '';
    const suffix = code && ` (${code})`;
    if (response.status > 0)
        return noAnswer(`the connection was cut before the answer was complete${suffix}`);
    const isOfProxy = stage.startsWith('proxy');
    const peer = isOfProxy ? `the proxy ${proxy?.name}` : dashboard;
    const { syscall, errno, errors } = Object(cause);
    const http = `what came from ${peer} is not valid HTTP (${code})`;
    if (code.startsWith('HPE_'))
        return ['the-answer-is-not-valid-http', http, MAY_BE_CHANGED];
    const behind = proxy ? PAGE_OF_PROXY : 'Check the host and the port in api-url.';
    // Behind the handshake, an error of TLS is a cut.
    const refusal = stage === 'answer' ? undefined : explainTls(cause, peer, isOfProxy ? PLAIN_PROXY : behind);
    if (refusal !== undefined)
        return refusal;
    const name = isOfProxy ? 'the host name of the proxy' : 'the host name';
    if (code === 'ENOTFOUND')
        return noAnswer(`${name} was not found${suffix}`, 'the-host-name-was-not-found');
    const unasked = `the name server could not be reached, or refused${suffix}`;
    if (syscall === 'getaddrinfo')
        return noAnswer(unasked, 'the-name-server-did-not-answer');
    const reason = (0,external_node_util_namespaceObject.getSystemErrorMap)().get(errno ?? errors?.[0]?.errno)?.[1] ?? 'the connection was cut';
    return noAnswer(`${reason}${stage.endsWith('handshake') ? ' during the TLS handshake' : ''}${suffix}`);
}
function explainTunnel(response, { name, authorization }) {
    const { status, headers } = response;
    if (status !== 407 && status !== 401) {
        const advice = `Ask whoever runs it${mayPass(response) ? '' : ' to allow this host, or add the host to no_proxy'}.`;
        const what = `the proxy ${name} answered ${named(status)} instead of opening a tunnel`;
        return ['the-proxy-did-not-open-a-tunnel', what, advice, mayPass(response)];
    }
    const schemes = String(headers['proxy-authenticate'] ?? headers['www-authenticate'] ?? 'basic');
    let [how, advice] = ['rejected the credentials', REJECTED_BY_PROXY];
    if (authorization === '')
        [how, advice] = ['requires credentials', WANTED_BY_PROXY];
    if (!/\bbasic\b/i.test(schemes))
        [how, advice] = ['offers no Basic authentication', OTHER_PROXY];
    return ['the-proxy-wants-credentials', `the proxy ${name} ${how} (${status})`, advice];
}
/** Of an error body only the OAuth fields (RFC 6749, section 5.2), or the web framework's `detail`. */
function detailsOf({ status, body }, secrets) {
    // Of an outage a page is what everyone expects. Elsewhere it tells that something else may have answered.
    if (status < 500 && body.trimStart().startsWith('<'))
        return ': an HTML page';
    const fields = parseJsonObject(body);
    const [error, text] = [fields?.get('error'), fields?.get('error_description') ?? fields?.get('detail')];
    const code = typeof error === 'string' ? wholeOf('code', error.trim(), secrets) || wordsOf(error, secrets) : '';
    const words = typeof text === 'string' ? wordsOf(text, secrets) : '';
    const details = [code, words].filter((part) => part !== '').join(': ');
    return details === '' ? '' : `: ${details.replace(/\.$/, '')}`;
}
function named(status) {
    return `${status} (${external_node_http_namespaceObject.STATUS_CODES[status]?.toLowerCase() ?? 'an unknown status'})`;
}

;// CONCATENATED MODULE: ./src/dashboard/retry.ts


/** The part of the time left that an attempt may take: of 120 s, more than the 60 s after which gateways answer 504. */
const SHARE = 0.55;
/** The least that a wait, or an attempt, is worth. */
const LEAST_MS = 500;
const BACKOFF_BASE_MS = 1_000;
const BACKOFF_CAP_MS = 15_000;
/**
 * Tries until it works, within the time. The waits grow from 1 s to 15 s, each a random part of that ("full jitter"),
 * so that jobs that failed together don't come back together. What Retry-After asks for is waited for first.
 * @throws StepError, of several failures for the last that was no timeout
 */
async function retry(options, attempt) {
    const { endsAt, stop, advice, onRetry } = options;
    const startedAt = now();
    const stopped = new Promise((resolve) => stop.addEventListener('abort', resolve, { once: true }));
    const msLeft = () => Math.max(0, endsAt() - now());
    let hasWaitedInVain = false;
    let toReport;
    for (let attempts = 1;; attempts += 1) {
        // After one that was not answered in its time, an attempt gets all the time there is.
        const isLast = hasWaitedInVain || msLeft() * (1 - SHARE) < 2 * LEAST_MS;
        const failure = await attempt(now() + Math.max(LEAST_MS, msLeft() * (isLast ? 1 : SHARE)));
        if (failure === undefined)
            return;
        const { explanation, retryAfterMs = 0, timedOut } = failure;
        const [, what, , isTransient] = explanation;
        if (!isTransient)
            throw errorOf(failure);
        hasWaitedInVain ||= timedOut === 'answer';
        if (toReport === undefined || timedOut === undefined)
            toReport = failure;
        const roomMs = msLeft() - retryAfterMs - LEAST_MS;
        const total = inSeconds(endsAt() - startedAt);
        if (roomMs < LEAST_MS) {
            if (stop.aborted)
                throw errorOf(toReport, '; the runner told this step to stop');
            const gaveUp = `; gave up after ${attempts} attempt${attempts === 1 ? '' : 's'} within ${total}`;
            const tooLong = `; it asks to wait ${inSeconds(retryAfterMs)}, which leaves no time for another attempt`;
            throw errorOf(toReport, retryAfterMs === 0 ? gaveUp : tooLong, advice);
        }
        const backoffMs = Math.min(BACKOFF_CAP_MS, BACKOFF_BASE_MS * 2 ** (attempts - 1), roomMs);
        const waitMs = retryAfterMs + Math.random() * backoffMs;
        const when = waitMs < 50 ? 'now' : `in ${(waitMs / 1_000).toFixed(1)} s`;
        onRetry(`Attempt ${attempts} failed: ${what}. Retrying ${when} (${inSeconds(msLeft())} of ${total} left).`);
        const wait = new Promise((resolve) => setTimeout(resolve, waitMs));
        await (stop.aborted ? wait : Promise.race([wait, stopped]));
    }
}
function inSeconds(ms) {
    return `${Math.round(Math.max(0, ms) / 1_000)} s`;
}

;// CONCATENATED MODULE: ./src/dashboard/client.ts







// Both end in a slash: without it the answer is 404.
const TOKEN_PATH = '/developer/v1/o/token/';
const REVOKE_PATH = '/developer/v1/o/revoke_token/';
/** What a revocation gets at least, and what is kept for one when the runner tells the step to stop. */
const LEAST_REVOCATION_MS = 700;
const LAST_REVOCATION_MS = 2_000;
/** Starts the time of a step, and gives the two endpoints that this action knows, for one pair of credentials. */
function createDashboardClient({ apiUrl, clientId, timeoutSeconds }, clientSecret, proxy, { stop, over }, logger) {
    for (const secret of proxy?.secrets ?? [])
        logger.hide(secret);
    const dashboard = logger.own(apiUrl) + through(proxy);
    const endsAt = now() + timeoutSeconds * 1_000;
    const retries = { stop, onRetry: logger.info };
    const oddInputs = Object.entries({ 'client-id': clientId, 'client-secret': clientSecret })
        .filter(([, value]) => !/^[A-Za-z\d]*$/.test(value))
        .map(([name]) => name);
    const contextOf = (path) => ({ url: apiUrl + path, proxy, oddInputs, logger });
    let isInDoubt = false;
    async function post(path, fields, limits) {
        const sentAt = now();
        const form = { ...fields, client_id: clientId, client_secret: clientSecret };
        const response = await postForm(apiUrl + path, form, { proxy, stop, ...limits });
        // Before anything of it is shown: a server may repeat the token in a header.
        logger.hide(findToken(response) ?? '');
        logger.debug(() => explain_describe(response, now() - sentAt, logger));
        return response;
    }
    return {
        /** The moment by which the step has used up its time. */
        endsAt,
        /** Whether a request was sent that may have issued a token which nobody knows: no answer came, or a gateway's. */
        isInDoubt: () => isInDoubt,
        /**
         * Requests an access token by the client credentials grant (RFC 6749, section 4.4). The first that comes ends the
         * asking. It must not be lost from then on, so `onToken` is given it before it is known if it can be used.
         * @throws StepError if there is none that can be used; the reason of `stop`; what `onToken` throws
         */
        async requestToken(onToken) {
            logger.info(`Requesting an access token from ${dashboard}.`);
            const advice = 'Run the job again later, or raise timeout-seconds.';
            await retry({ ...retries, endsAt: () => endsAt, advice }, async (attemptEndsAt) => {
                stop.throwIfAborted();
                const requestedAt = Date.now();
                const endsAtStop = (isSent) => (isSent ? over() - LAST_REVOCATION_MS : now());
                const limits = { endsAt: attemptEndsAt, endsAtStop };
                const response = await post(TOKEN_PATH, { grant_type: 'client_credentials' }, limits);
                const token = findToken(response);
                if (token === undefined)
                    isInDoubt ||= leavesDoubt(response);
                else
                    onToken(token, readExpiry(response, requestedAt));
                stop.throwIfAborted();
                // Behind its token an answer may have broken off.
                const answer = token === undefined ? response : { ...response, problem: undefined };
                if (isSuccess(answer))
                    return explainUnusable(response, token, logger);
                const failure = explain(answer, contextOf(TOKEN_PATH));
                if (token !== undefined)
                    throw errorOf(failure, '; an access token came with it');
                return failure;
            });
        },
        /** Revokes an access token (RFC 7009), and tries so until a moment. @throws StepError */
        async revoke(token, until = endsAt) {
            logger.info(`Revoking the access token at ${dashboard}.`);
            const least = now() + LEAST_REVOCATION_MS;
            const end = () => (stop.aborted ? Math.max(least, over()) : until);
            const advice = until === endsAt ? 'Raise timeout-seconds to keep trying for longer.' : '';
            await retry({ ...retries, endsAt: end, advice }, async (attemptEndsAt) => {
                const response = await post(REVOKE_PATH, { token }, { endsAt: attemptEndsAt, endsAtStop: over });
                if (!isSuccess(response))
                    return explain(response, contextOf(REVOKE_PATH));
                return isConfirmation(response) ? undefined : explainUnconfirmed(response);
            });
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
function utils_toCommandValue(input) {
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
function utils_toCommandProperties(annotationProperties) {
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
function command_issueCommand(command, properties, message) {
    const cmd = new Command(command, properties, message);
    process.stdout.write(cmd.toString() + external_os_namespaceObject.EOL);
}
function command_issue(name, message = '') {
    command_issueCommand(name, {}, message);
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
    return utils_toCommandValue(s)
        .replace(/%/g, '%25')
        .replace(/\r/g, '%0D')
        .replace(/\n/g, '%0A');
}
function escapeProperty(s) {
    return utils_toCommandValue(s)
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




function file_command_issueFileCommand(command, message) {
    const filePath = process.env[`GITHUB_${command}`];
    if (!filePath) {
        throw new Error(`Unable to find environment variable for file command ${command}`);
    }
    if (!external_fs_namespaceObject.existsSync(filePath)) {
        throw new Error(`Missing file at path: ${filePath}`);
    }
    external_fs_namespaceObject.appendFileSync(filePath, `${utils_toCommandValue(message)}${external_os_namespaceObject.EOL}`, {
        encoding: 'utf8'
    });
}
function file_command_prepareKeyValueMessage(key, value) {
    const delimiter = `ghadelimiter_${external_crypto_namespaceObject.randomUUID()}`;
    const convertedValue = utils_toCommandValue(value);
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
;// CONCATENATED MODULE: external "path"
const external_path_namespaceObject = require("path");
;// CONCATENATED MODULE: ./node_modules/@actions/http-client/lib/auth.js
var auth_awaiter = (undefined && undefined.__awaiter) || function (thisArg, _arguments, P, generator) {
    function adopt(value) { return value instanceof P ? value : new P(function (resolve) { resolve(value); }); }
    return new (P || (P = Promise))(function (resolve, reject) {
        function fulfilled(value) { try { step(generator.next(value)); } catch (e) { reject(e); } }
        function rejected(value) { try { step(generator["throw"](value)); } catch (e) { reject(e); } }
        function step(result) { result.done ? resolve(result.value) : adopt(result.value).then(fulfilled, rejected); }
        step((generator = generator.apply(thisArg, _arguments || [])).next());
    });
};
class BasicCredentialHandler {
    constructor(username, password) {
        this.username = username;
        this.password = password;
    }
    prepareRequest(options) {
        if (!options.headers) {
            throw Error('The request has no headers');
        }
        options.headers['Authorization'] = `Basic ${Buffer.from(`${this.username}:${this.password}`).toString('base64')}`;
    }
    // This handler cannot handle 401
    canHandleAuthentication() {
        return false;
    }
    handleAuthentication() {
        return auth_awaiter(this, void 0, void 0, function* () {
            throw new Error('not implemented');
        });
    }
}
class auth_BearerCredentialHandler {
    constructor(token) {
        this.token = token;
    }
    // currently implements pre-authorization
    // TODO: support preAuth = false where it hooks on 401
    prepareRequest(options) {
        if (!options.headers) {
            throw Error('The request has no headers');
        }
        options.headers['Authorization'] = `Bearer ${this.token}`;
    }
    // This handler cannot handle 401
    canHandleAuthentication() {
        return false;
    }
    handleAuthentication() {
        return auth_awaiter(this, void 0, void 0, function* () {
            throw new Error('not implemented');
        });
    }
}
class PersonalAccessTokenCredentialHandler {
    constructor(token) {
        this.token = token;
    }
    // currently implements pre-authorization
    // TODO: support preAuth = false where it hooks on 401
    prepareRequest(options) {
        if (!options.headers) {
            throw Error('The request has no headers');
        }
        options.headers['Authorization'] = `Basic ${Buffer.from(`PAT:${this.token}`).toString('base64')}`;
    }
    // This handler cannot handle 401
    canHandleAuthentication() {
        return false;
    }
    handleAuthentication() {
        return auth_awaiter(this, void 0, void 0, function* () {
            throw new Error('not implemented');
        });
    }
}
//# sourceMappingURL=auth.js.map
;// CONCATENATED MODULE: ./node_modules/@actions/core/lib/oidc-utils.js
var oidc_utils_awaiter = (undefined && undefined.__awaiter) || function (thisArg, _arguments, P, generator) {
    function adopt(value) { return value instanceof P ? value : new P(function (resolve) { resolve(value); }); }
    return new (P || (P = Promise))(function (resolve, reject) {
        function fulfilled(value) { try { step(generator.next(value)); } catch (e) { reject(e); } }
        function rejected(value) { try { step(generator["throw"](value)); } catch (e) { reject(e); } }
        function step(result) { result.done ? resolve(result.value) : adopt(result.value).then(fulfilled, rejected); }
        step((generator = generator.apply(thisArg, _arguments || [])).next());
    });
};



class oidc_utils_OidcClient {
    static createHttpClient(allowRetry = true, maxRetry = 10) {
        const requestOptions = {
            allowRetries: allowRetry,
            maxRetries: maxRetry
        };
        return new HttpClient('actions/oidc-client', [new BearerCredentialHandler(oidc_utils_OidcClient.getRequestToken())], requestOptions);
    }
    static getRequestToken() {
        const token = process.env['ACTIONS_ID_TOKEN_REQUEST_TOKEN'];
        if (!token) {
            throw new Error('Unable to get ACTIONS_ID_TOKEN_REQUEST_TOKEN env variable');
        }
        return token;
    }
    static getIDTokenUrl() {
        const runtimeUrl = process.env['ACTIONS_ID_TOKEN_REQUEST_URL'];
        if (!runtimeUrl) {
            throw new Error('Unable to get ACTIONS_ID_TOKEN_REQUEST_URL env variable');
        }
        return runtimeUrl;
    }
    static getCall(id_token_url) {
        return oidc_utils_awaiter(this, void 0, void 0, function* () {
            var _a;
            const httpclient = oidc_utils_OidcClient.createHttpClient();
            const res = yield httpclient
                .getJson(id_token_url)
                .catch(error => {
                throw new Error(`Failed to get ID Token. \n 
        Error Code : ${error.statusCode}\n 
        Error Message: ${error.message}`);
            });
            const id_token = (_a = res.result) === null || _a === void 0 ? void 0 : _a.value;
            if (!id_token) {
                throw new Error('Response json body do not have ID Token field');
            }
            return id_token;
        });
    }
    static getIDToken(audience) {
        return oidc_utils_awaiter(this, void 0, void 0, function* () {
            try {
                // New ID Token is requested from action service
                let id_token_url = oidc_utils_OidcClient.getIDTokenUrl();
                if (audience) {
                    const encodedAudience = encodeURIComponent(audience);
                    id_token_url = `${id_token_url}&audience=${encodedAudience}`;
                }
                debug(`ID token url is ${id_token_url}`);
                const id_token = yield oidc_utils_OidcClient.getCall(id_token_url);
                setSecret(id_token);
                return id_token;
            }
            catch (error) {
                throw new Error(`Error message: ${error.message}`);
            }
        });
    }
}
//# sourceMappingURL=oidc-utils.js.map
;// CONCATENATED MODULE: ./node_modules/@actions/core/lib/summary.js
var summary_awaiter = (undefined && undefined.__awaiter) || function (thisArg, _arguments, P, generator) {
    function adopt(value) { return value instanceof P ? value : new P(function (resolve) { resolve(value); }); }
    return new (P || (P = Promise))(function (resolve, reject) {
        function fulfilled(value) { try { step(generator.next(value)); } catch (e) { reject(e); } }
        function rejected(value) { try { step(generator["throw"](value)); } catch (e) { reject(e); } }
        function step(result) { result.done ? resolve(result.value) : adopt(result.value).then(fulfilled, rejected); }
        step((generator = generator.apply(thisArg, _arguments || [])).next());
    });
};


const { access, appendFile, writeFile } = external_fs_namespaceObject.promises;
const SUMMARY_ENV_VAR = 'GITHUB_STEP_SUMMARY';
const SUMMARY_DOCS_URL = 'https://docs.github.com/actions/using-workflows/workflow-commands-for-github-actions#adding-a-job-summary';
class Summary {
    constructor() {
        this._buffer = '';
    }
    /**
     * Finds the summary file path from the environment, rejects if env var is not found or file does not exist
     * Also checks r/w permissions.
     *
     * @returns step summary file path
     */
    filePath() {
        return summary_awaiter(this, void 0, void 0, function* () {
            if (this._filePath) {
                return this._filePath;
            }
            const pathFromEnv = process.env[SUMMARY_ENV_VAR];
            if (!pathFromEnv) {
                throw new Error(`Unable to find environment variable for $${SUMMARY_ENV_VAR}. Check if your runtime environment supports job summaries.`);
            }
            try {
                yield access(pathFromEnv, external_fs_namespaceObject.constants.R_OK | external_fs_namespaceObject.constants.W_OK);
            }
            catch (_a) {
                throw new Error(`Unable to access summary file: '${pathFromEnv}'. Check if the file has correct read/write permissions.`);
            }
            this._filePath = pathFromEnv;
            return this._filePath;
        });
    }
    /**
     * Wraps content in an HTML tag, adding any HTML attributes
     *
     * @param {string} tag HTML tag to wrap
     * @param {string | null} content content within the tag
     * @param {[attribute: string]: string} attrs key-value list of HTML attributes to add
     *
     * @returns {string} content wrapped in HTML element
     */
    wrap(tag, content, attrs = {}) {
        const htmlAttrs = Object.entries(attrs)
            .map(([key, value]) => ` ${key}="${value}"`)
            .join('');
        if (!content) {
            return `<${tag}${htmlAttrs}>`;
        }
        return `<${tag}${htmlAttrs}>${content}</${tag}>`;
    }
    /**
     * Writes text in the buffer to the summary buffer file and empties buffer. Will append by default.
     *
     * @param {SummaryWriteOptions} [options] (optional) options for write operation
     *
     * @returns {Promise<Summary>} summary instance
     */
    write(options) {
        return summary_awaiter(this, void 0, void 0, function* () {
            const overwrite = !!(options === null || options === void 0 ? void 0 : options.overwrite);
            const filePath = yield this.filePath();
            const writeFunc = overwrite ? writeFile : appendFile;
            yield writeFunc(filePath, this._buffer, { encoding: 'utf8' });
            return this.emptyBuffer();
        });
    }
    /**
     * Clears the summary buffer and wipes the summary file
     *
     * @returns {Summary} summary instance
     */
    clear() {
        return summary_awaiter(this, void 0, void 0, function* () {
            return this.emptyBuffer().write({ overwrite: true });
        });
    }
    /**
     * Returns the current summary buffer as a string
     *
     * @returns {string} string of summary buffer
     */
    stringify() {
        return this._buffer;
    }
    /**
     * If the summary buffer is empty
     *
     * @returns {boolen} true if the buffer is empty
     */
    isEmptyBuffer() {
        return this._buffer.length === 0;
    }
    /**
     * Resets the summary buffer without writing to summary file
     *
     * @returns {Summary} summary instance
     */
    emptyBuffer() {
        this._buffer = '';
        return this;
    }
    /**
     * Adds raw text to the summary buffer
     *
     * @param {string} text content to add
     * @param {boolean} [addEOL=false] (optional) append an EOL to the raw text (default: false)
     *
     * @returns {Summary} summary instance
     */
    addRaw(text, addEOL = false) {
        this._buffer += text;
        return addEOL ? this.addEOL() : this;
    }
    /**
     * Adds the operating system-specific end-of-line marker to the buffer
     *
     * @returns {Summary} summary instance
     */
    addEOL() {
        return this.addRaw(external_os_namespaceObject.EOL);
    }
    /**
     * Adds an HTML codeblock to the summary buffer
     *
     * @param {string} code content to render within fenced code block
     * @param {string} lang (optional) language to syntax highlight code
     *
     * @returns {Summary} summary instance
     */
    addCodeBlock(code, lang) {
        const attrs = Object.assign({}, (lang && { lang }));
        const element = this.wrap('pre', this.wrap('code', code), attrs);
        return this.addRaw(element).addEOL();
    }
    /**
     * Adds an HTML list to the summary buffer
     *
     * @param {string[]} items list of items to render
     * @param {boolean} [ordered=false] (optional) if the rendered list should be ordered or not (default: false)
     *
     * @returns {Summary} summary instance
     */
    addList(items, ordered = false) {
        const tag = ordered ? 'ol' : 'ul';
        const listItems = items.map(item => this.wrap('li', item)).join('');
        const element = this.wrap(tag, listItems);
        return this.addRaw(element).addEOL();
    }
    /**
     * Adds an HTML table to the summary buffer
     *
     * @param {SummaryTableCell[]} rows table rows
     *
     * @returns {Summary} summary instance
     */
    addTable(rows) {
        const tableBody = rows
            .map(row => {
            const cells = row
                .map(cell => {
                if (typeof cell === 'string') {
                    return this.wrap('td', cell);
                }
                const { header, data, colspan, rowspan } = cell;
                const tag = header ? 'th' : 'td';
                const attrs = Object.assign(Object.assign({}, (colspan && { colspan })), (rowspan && { rowspan }));
                return this.wrap(tag, data, attrs);
            })
                .join('');
            return this.wrap('tr', cells);
        })
            .join('');
        const element = this.wrap('table', tableBody);
        return this.addRaw(element).addEOL();
    }
    /**
     * Adds a collapsable HTML details element to the summary buffer
     *
     * @param {string} label text for the closed state
     * @param {string} content collapsable content
     *
     * @returns {Summary} summary instance
     */
    addDetails(label, content) {
        const element = this.wrap('details', this.wrap('summary', label) + content);
        return this.addRaw(element).addEOL();
    }
    /**
     * Adds an HTML image tag to the summary buffer
     *
     * @param {string} src path to the image you to embed
     * @param {string} alt text description of the image
     * @param {SummaryImageOptions} options (optional) addition image attributes
     *
     * @returns {Summary} summary instance
     */
    addImage(src, alt, options) {
        const { width, height } = options || {};
        const attrs = Object.assign(Object.assign({}, (width && { width })), (height && { height }));
        const element = this.wrap('img', null, Object.assign({ src, alt }, attrs));
        return this.addRaw(element).addEOL();
    }
    /**
     * Adds an HTML section heading element
     *
     * @param {string} text heading text
     * @param {number | string} [level=1] (optional) the heading level, default: 1
     *
     * @returns {Summary} summary instance
     */
    addHeading(text, level) {
        const tag = `h${level}`;
        const allowedTag = ['h1', 'h2', 'h3', 'h4', 'h5', 'h6'].includes(tag)
            ? tag
            : 'h1';
        const element = this.wrap(allowedTag, text);
        return this.addRaw(element).addEOL();
    }
    /**
     * Adds an HTML thematic break (<hr>) to the summary buffer
     *
     * @returns {Summary} summary instance
     */
    addSeparator() {
        const element = this.wrap('hr', null);
        return this.addRaw(element).addEOL();
    }
    /**
     * Adds an HTML line break (<br>) to the summary buffer
     *
     * @returns {Summary} summary instance
     */
    addBreak() {
        const element = this.wrap('br', null);
        return this.addRaw(element).addEOL();
    }
    /**
     * Adds an HTML blockquote to the summary buffer
     *
     * @param {string} text quote text
     * @param {string} cite (optional) citation url
     *
     * @returns {Summary} summary instance
     */
    addQuote(text, cite) {
        const attrs = Object.assign({}, (cite && { cite }));
        const element = this.wrap('blockquote', text, attrs);
        return this.addRaw(element).addEOL();
    }
    /**
     * Adds an HTML anchor tag to the summary buffer
     *
     * @param {string} text link text/content
     * @param {string} href hyperlink
     *
     * @returns {Summary} summary instance
     */
    addLink(text, href) {
        const element = this.wrap('a', text, { href });
        return this.addRaw(element).addEOL();
    }
}
const _summary = new Summary();
/**
 * @deprecated use `core.summary`
 */
const markdownSummary = (/* unused pure expression or super */ null && (_summary));
const summary = (/* unused pure expression or super */ null && (_summary));
//# sourceMappingURL=summary.js.map
;// CONCATENATED MODULE: ./node_modules/@actions/core/lib/path-utils.js

/**
 * toPosixPath converts the given path to the posix form. On Windows, \\ will be
 * replaced with /.
 *
 * @param pth. Path to transform.
 * @return string Posix path.
 */
function toPosixPath(pth) {
    return pth.replace(/[\\]/g, '/');
}
/**
 * toWin32Path converts the given path to the win32 form. On Linux, / will be
 * replaced with \\.
 *
 * @param pth. Path to transform.
 * @return string Win32 path.
 */
function toWin32Path(pth) {
    return pth.replace(/[/]/g, '\\');
}
/**
 * toPlatformPath converts the given path to a platform-specific path. It does
 * this by replacing instances of / and \ with the platform-specific path
 * separator.
 *
 * @param pth The path to platformize.
 * @return string The platform-specific path.
 */
function toPlatformPath(pth) {
    return pth.replace(/[/\\]/g, path.sep);
}
//# sourceMappingURL=path-utils.js.map
;// CONCATENATED MODULE: ./node_modules/@actions/core/lib/platform.js
var platform_awaiter = (undefined && undefined.__awaiter) || function (thisArg, _arguments, P, generator) {
    function adopt(value) { return value instanceof P ? value : new P(function (resolve) { resolve(value); }); }
    return new (P || (P = Promise))(function (resolve, reject) {
        function fulfilled(value) { try { step(generator.next(value)); } catch (e) { reject(e); } }
        function rejected(value) { try { step(generator["throw"](value)); } catch (e) { reject(e); } }
        function step(result) { result.done ? resolve(result.value) : adopt(result.value).then(fulfilled, rejected); }
        step((generator = generator.apply(thisArg, _arguments || [])).next());
    });
};


const getWindowsInfo = () => platform_awaiter(void 0, void 0, void 0, function* () {
    const { stdout: version } = yield exec.getExecOutput('powershell -command "(Get-CimInstance -ClassName Win32_OperatingSystem).Version"', undefined, {
        silent: true
    });
    const { stdout: name } = yield exec.getExecOutput('powershell -command "(Get-CimInstance -ClassName Win32_OperatingSystem).Caption"', undefined, {
        silent: true
    });
    return {
        name: name.trim(),
        version: version.trim()
    };
});
const getMacOsInfo = () => platform_awaiter(void 0, void 0, void 0, function* () {
    var _a, _b, _c, _d;
    const { stdout } = yield exec.getExecOutput('sw_vers', undefined, {
        silent: true
    });
    const version = (_b = (_a = stdout.match(/ProductVersion:\s*(.+)/)) === null || _a === void 0 ? void 0 : _a[1]) !== null && _b !== void 0 ? _b : '';
    const name = (_d = (_c = stdout.match(/ProductName:\s*(.+)/)) === null || _c === void 0 ? void 0 : _c[1]) !== null && _d !== void 0 ? _d : '';
    return {
        name,
        version
    };
});
const getLinuxInfo = () => platform_awaiter(void 0, void 0, void 0, function* () {
    const { stdout } = yield exec.getExecOutput('lsb_release', ['-i', '-r', '-s'], {
        silent: true
    });
    const [name, version] = stdout.trim().split('\n');
    return {
        name,
        version
    };
});
const platform = external_os_namespaceObject.platform();
const arch = external_os_namespaceObject.arch();
const isWindows = platform === 'win32';
const isMacOS = platform === 'darwin';
const isLinux = platform === 'linux';
function getDetails() {
    return platform_awaiter(this, void 0, void 0, function* () {
        return Object.assign(Object.assign({}, (yield (isWindows
            ? getWindowsInfo()
            : isMacOS
                ? getMacOsInfo()
                : getLinuxInfo()))), { platform,
            arch,
            isWindows,
            isMacOS,
            isLinux });
    });
}
//# sourceMappingURL=platform.js.map
;// CONCATENATED MODULE: ./node_modules/@actions/core/lib/core.js
var core_awaiter = (undefined && undefined.__awaiter) || function (thisArg, _arguments, P, generator) {
    function adopt(value) { return value instanceof P ? value : new P(function (resolve) { resolve(value); }); }
    return new (P || (P = Promise))(function (resolve, reject) {
        function fulfilled(value) { try { step(generator.next(value)); } catch (e) { reject(e); } }
        function rejected(value) { try { step(generator["throw"](value)); } catch (e) { reject(e); } }
        function step(result) { result.done ? resolve(result.value) : adopt(result.value).then(fulfilled, rejected); }
        step((generator = generator.apply(thisArg, _arguments || [])).next());
    });
};






/**
 * The code to exit an action
 */
var ExitCode;
(function (ExitCode) {
    /**
     * A code indicating that the action was successful
     */
    ExitCode[ExitCode["Success"] = 0] = "Success";
    /**
     * A code indicating that the action was a failure
     */
    ExitCode[ExitCode["Failure"] = 1] = "Failure";
})(ExitCode || (ExitCode = {}));
//-----------------------------------------------------------------------
// Variables
//-----------------------------------------------------------------------
/**
 * Sets env variable for this action and future actions in the job
 * @param name the name of the variable to set
 * @param val the value of the variable. Non-string values will be converted to a string via JSON.stringify
 */
// eslint-disable-next-line @typescript-eslint/no-explicit-any
function exportVariable(name, val) {
    const convertedVal = toCommandValue(val);
    process.env[name] = convertedVal;
    const filePath = process.env['GITHUB_ENV'] || '';
    if (filePath) {
        return issueFileCommand('ENV', prepareKeyValueMessage(name, val));
    }
    issueCommand('set-env', { name }, convertedVal);
}
/**
 * Registers a secret which will get masked from logs
 *
 * @param secret - Value of the secret to be masked
 * @remarks
 * This function instructs the Actions runner to mask the specified value in any
 * logs produced during the workflow run. Once registered, the secret value will
 * be replaced with asterisks (***) whenever it appears in console output, logs,
 * or error messages.
 *
 * This is useful for protecting sensitive information such as:
 * - API keys
 * - Access tokens
 * - Authentication credentials
 * - URL parameters containing signatures (SAS tokens)
 *
 * Note that masking only affects future logs; any previous appearances of the
 * secret in logs before calling this function will remain unmasked.
 *
 * @example
 * ```typescript
 * // Register an API token as a secret
 * const apiToken = "abc123xyz456";
 * setSecret(apiToken);
 *
 * // Now any logs containing this value will show *** instead
 * console.log(`Using token: ${apiToken}`); // Outputs: "Using token: ***"
 * ```
 */
function core_setSecret(secret) {
    command_issueCommand('add-mask', {}, secret);
}
/**
 * Prepends inputPath to the PATH (for this action and future actions)
 * @param inputPath
 */
function addPath(inputPath) {
    const filePath = process.env['GITHUB_PATH'] || '';
    if (filePath) {
        issueFileCommand('PATH', inputPath);
    }
    else {
        issueCommand('add-path', {}, inputPath);
    }
    process.env['PATH'] = `${inputPath}${path.delimiter}${process.env['PATH']}`;
}
/**
 * Gets the value of an input.
 * Unless trimWhitespace is set to false in InputOptions, the value is also trimmed.
 * Returns an empty string if the value is not defined.
 *
 * @param     name     name of the input to get
 * @param     options  optional. See InputOptions.
 * @returns   string
 */
function getInput(name, options) {
    const val = process.env[`INPUT_${name.replace(/ /g, '_').toUpperCase()}`] || '';
    if (options && options.required && !val) {
        throw new Error(`Input required and not supplied: ${name}`);
    }
    if (options && options.trimWhitespace === false) {
        return val;
    }
    return val.trim();
}
/**
 * Gets the values of an multiline input.  Each value is also trimmed.
 *
 * @param     name     name of the input to get
 * @param     options  optional. See InputOptions.
 * @returns   string[]
 *
 */
function getMultilineInput(name, options) {
    const inputs = getInput(name, options)
        .split('\n')
        .filter(x => x !== '');
    if (options && options.trimWhitespace === false) {
        return inputs;
    }
    return inputs.map(input => input.trim());
}
/**
 * Gets the input value of the boolean type in the YAML 1.2 "core schema" specification.
 * Support boolean input list: `true | True | TRUE | false | False | FALSE` .
 * The return value is also in boolean type.
 * ref: https://yaml.org/spec/1.2/spec.html#id2804923
 *
 * @param     name     name of the input to get
 * @param     options  optional. See InputOptions.
 * @returns   boolean
 */
function getBooleanInput(name, options) {
    const trueValue = ['true', 'True', 'TRUE'];
    const falseValue = ['false', 'False', 'FALSE'];
    const val = getInput(name, options);
    if (trueValue.includes(val))
        return true;
    if (falseValue.includes(val))
        return false;
    throw new TypeError(`Input does not meet YAML 1.2 "Core Schema" specification: ${name}\n` +
        `Support boolean input list: \`true | True | TRUE | false | False | FALSE\``);
}
/**
 * Sets the value of an output.
 *
 * @param     name     name of the output to set
 * @param     value    value to store. Non-string values will be converted to a string via JSON.stringify
 */
// eslint-disable-next-line @typescript-eslint/no-explicit-any
function setOutput(name, value) {
    const filePath = process.env['GITHUB_OUTPUT'] || '';
    if (filePath) {
        return file_command_issueFileCommand('OUTPUT', file_command_prepareKeyValueMessage(name, value));
    }
    process.stdout.write(external_os_namespaceObject.EOL);
    command_issueCommand('set-output', { name }, utils_toCommandValue(value));
}
/**
 * Enables or disables the echoing of commands into stdout for the rest of the step.
 * Echoing is disabled by default if ACTIONS_STEP_DEBUG is not set.
 *
 */
function setCommandEcho(enabled) {
    issue('echo', enabled ? 'on' : 'off');
}
//-----------------------------------------------------------------------
// Results
//-----------------------------------------------------------------------
/**
 * Sets the action status to failed.
 * When the action exits it will be with an exit code of 1
 * @param message add error issue message
 */
function setFailed(message) {
    process.exitCode = ExitCode.Failure;
    error(message);
}
//-----------------------------------------------------------------------
// Logging Commands
//-----------------------------------------------------------------------
/**
 * Gets whether Actions Step Debug is on or not
 */
function isDebug() {
    return process.env['RUNNER_DEBUG'] === '1';
}
/**
 * Writes debug message to user log
 * @param message debug message
 */
function core_debug(message) {
    command_issueCommand('debug', {}, message);
}
/**
 * Adds an error issue
 * @param message error issue message. Errors will be converted to string via toString()
 * @param properties optional properties to add to the annotation.
 */
function error(message, properties = {}) {
    command_issueCommand('error', utils_toCommandProperties(properties), message instanceof Error ? message.toString() : message);
}
/**
 * Adds a warning issue
 * @param message warning issue message. Errors will be converted to string via toString()
 * @param properties optional properties to add to the annotation.
 */
function warning(message, properties = {}) {
    command_issueCommand('warning', utils_toCommandProperties(properties), message instanceof Error ? message.toString() : message);
}
/**
 * Adds a notice issue
 * @param message notice issue message. Errors will be converted to string via toString()
 * @param properties optional properties to add to the annotation.
 */
function notice(message, properties = {}) {
    issueCommand('notice', toCommandProperties(properties), message instanceof Error ? message.toString() : message);
}
/**
 * Writes info to log with console.log.
 * @param message info message
 */
function info(message) {
    process.stdout.write(message + external_os_namespaceObject.EOL);
}
/**
 * Begin an output group.
 *
 * Output until the next `groupEnd` will be foldable in this group
 *
 * @param name The name of the output group
 */
function startGroup(name) {
    issue('group', name);
}
/**
 * End an output group.
 */
function endGroup() {
    issue('endgroup');
}
/**
 * Wrap an asynchronous function call in a group.
 *
 * Returns the same type as the function itself.
 *
 * @param name The name of the group
 * @param fn The function to wrap in the group
 */
function group(name, fn) {
    return core_awaiter(this, void 0, void 0, function* () {
        startGroup(name);
        let result;
        try {
            result = yield fn();
        }
        finally {
            endGroup();
        }
        return result;
    });
}
//-----------------------------------------------------------------------
// Wrapper action state
//-----------------------------------------------------------------------
/**
 * Saves state for current action, the state can only be retrieved by this action's post job execution.
 *
 * @param     name     name of the state to store
 * @param     value    value to store. Non-string values will be converted to a string via JSON.stringify
 */
// eslint-disable-next-line @typescript-eslint/no-explicit-any
function saveState(name, value) {
    const filePath = process.env['GITHUB_STATE'] || '';
    if (filePath) {
        return file_command_issueFileCommand('STATE', file_command_prepareKeyValueMessage(name, value));
    }
    command_issueCommand('save-state', { name }, utils_toCommandValue(value));
}
/**
 * Gets the value of an state set by this action's main execution.
 *
 * @param     name     name of the state to get
 * @returns   string
 */
function core_getState(name) {
    return process.env[`STATE_${name}`] || '';
}
function getIDToken(aud) {
    return core_awaiter(this, void 0, void 0, function* () {
        return yield OidcClient.getIDToken(aud);
    });
}
/**
 * Summary exports
 */

/**
 * @deprecated use core.summary
 */

/**
 * Path exports
 */

/**
 * Platform utilities exports
 */

//# sourceMappingURL=core.js.map
;// CONCATENATED MODULE: ./src/runner/files.ts



/** Leaves values for the post step or for later steps: all of them, or none. @throws StepError if that fails */
function append(file, values) {
    const path = process.env[`GITHUB_${file}`] ?? '';
    let length;
    try {
        // Where there is no file, @actions/core would print the values: a token must not be printed.
        length = (0,external_node_fs_namespaceObject.statSync)(path).size;
        for (const [name, value] of Object.entries(values))
            (file === 'STATE' ? saveState : setOutput)(name, value);
    }
    catch (cause) {
        try {
            // On a full disk a part may have been written, which the runner could not read.
            if (length !== undefined)
                (0,external_node_fs_namespaceObject.truncateSync)(path, length);
        }
        catch { } // The error is reported anyway.
        const code = errorCode(cause);
        const reason = code === 'ENOENT' ? `no file in GITHUB_${file}` : code;
        const what = `The runner's ${file.toLowerCase()} file can't be written (${reason})`;
        const advice = "make sure that the runner's temp folder exists, is writable and has space left";
        throw new errors_StepError('the-runners-file-cant-be-written', `${what}: ${advice}.`, cause);
    }
}

;// CONCATENATED MODULE: ./src/runner/logger.ts



/** What the runner masks, and what is to be taken out of texts from elsewhere. */
const masked = new Set();
const secrets = new Set();
const logger_info = info;
/** Masks a value in the log of this and every later step. `::add-mask::` is the only line that ever holds it. */
function mask(secret) {
    if (secret.trim() === '')
        return;
    core_setSecret(secret);
    masked.add(secret);
    hide(secret);
}
/** Keeps a value out of what this step shows of texts from elsewhere, without telling the runner. */
const hide = (secret) => void (secret && secrets.add(secret));
/** What may be shown of a value of our own, such as an input. */
function own(value) {
    return redact(value, masked);
}
/** Prints a line if debug logging is on, and makes it only then. */
function logger_debug(line) {
    if (isDebug())
        core_debug(line());
}
/** Prints one annotation that says what went wrong, and where the message is explained. */
function report(level, thrown) {
    const { message, help } = asStepError(thrown);
    (level === 'error' ? error : warning)(message);
    // Only github.com is known to have the page, and an action in the workflow's own repository has no name.
    const { GITHUB_SERVER_URL: server, GITHUB_ACTION_REPOSITORY: name, GITHUB_ACTION_REF: ref } = process.env;
    const isThere = server === 'https://github.com' && name && ref;
    if (isThere)
        logger_info(`What this means: ${server}/${name}/blob/${ref}/docs/troubleshooting.md#${help}`);
    for (let cause = thrown, depth = 0; cause instanceof Error && depth < 8; cause = cause.cause, depth += 1) {
        const { name, code, syscall, message } = cause;
        const shown = cause instanceof errors_StepError ? message : wordsOf(message, secrets);
        logger_debug(() => [name, code, syscall, shown].filter(Boolean).join(': '));
    }
}
/** What to say of any error. A defect may quote what Node worked on: only its words are shown, and the place. */
function asStepError(thrown) {
    if (thrown instanceof errors_StepError)
        return thrown;
    const { name, message, stack } = thrown instanceof Error ? thrown : new Error(String(thrown));
    const place = /([\w.-]{1,99}:\d{1,9}):\d{1,9}\)?$/m.exec(String(stack).slice(0, 10_000))?.[1] ?? 'an unknown place';
    const what = [`${name} at ${place}`, wordsOf(message, secrets)].filter(Boolean).join(': ');
    const request = 'This is a bug in the action; please report it with the log of this job';
    return new errors_StepError('this-is-a-bug-in-the-action', `${request}: ${what}.`, thrown);
}

;// CONCATENATED MODULE: ./src/runner/inputs.ts




/** A workflow that passes an unset variable gives an empty input: that means the default. */
const DEFAULTS = {
    'client-id': '',
    'client-secret': '',
    'api-url': 'https://api.formlabs.com',
    'skip-token-revoke': 'false',
    'timeout-seconds': '120',
};
const MAX_TIMEOUT_SECONDS = 86_400;
/** Enough to notice a mix-up: one of two secrets passes for the other once in 16 million times. */
const FINGERPRINT_DIGITS = 6;
/** Control and format characters, such as a zero-width space: they get in by copy and paste. */
const INVISIBLE = '[\\p{Cc}\\p{Cf}\\p{Zl}\\p{Zp}]';
const LOOPBACK = /^(?:localhost|\[::1\]|127\.\d+\.\d+\.\d+)$/;
const WHERE_SECRETS_GET_LOST = 'check the name of the secret. A reusable workflow gets only what its caller passes, a secret of an environment ' +
    'needs "environment" on the job, Dependabot has its own secrets, forks get none, and the output of a job can hold none';
/** Reads and checks all inputs. Masks the client secret first. @throws StepError that names the input and what to do */
function readInputs() {
    const clientSecret = readClientSecret();
    const [clientId, apiUrl, timeoutSeconds] = [read('client-id'), read('api-url'), read('timeout-seconds')];
    const settings = inputs_parseSettings({ clientId, apiUrl, timeoutSeconds });
    checkCredential('client-secret', clientSecret);
    const isSame = clientId === clientSecret;
    if (isSame)
        throw wrong('client-id', 'is the same as client-secret', 'give the client ID that belongs to the secret');
    return { settings, clientSecret, skipTokenRevoke: parseBoolean('skip-token-revoke', read('skip-token-revoke')) };
}
/** The client secret as the runner gives it to this step, masked; empty if there is none. */
function readClientSecret() {
    const clientSecret = read('client-secret');
    mask(clientSecret);
    return clientSecret;
}
/** A few digits of a digest: enough to notice that one of the values changed, useless for guessing a random secret. */
function fingerprintOf({ clientId, apiUrl }, clientSecret) {
    const text = JSON.stringify([clientId, apiUrl, clientSecret]);
    return (0,external_node_crypto_namespaceObject.createHash)('sha256').update(text).digest('hex').slice(0, FINGERPRINT_DIGITS);
}
/** Checks settings, also when they come back from the state: the client secret goes where they say. */
function inputs_parseSettings(fields) {
    return {
        clientId: checkCredential('client-id', fields.clientId),
        apiUrl: parseApiUrl(String(fields.apiUrl)),
        timeoutSeconds: parseTimeout(String(fields.timeoutSeconds)),
    };
}
function parseApiUrl(text) {
    const form = `an absolute https URL without user, query or fragment, such as ${DEFAULTS['api-url']}`;
    const refuse = (problem) => wrong('api-url', problem, `give ${form}, or leave it out`);
    if (!/^https?:\/\/[^\s\\]{1,2000}$/i.test(text) || !URL.canParse(text))
        throw refuse('is not an absolute URL');
    // A password may hold what looks like the end of a host, so an @ anywhere is refused before the rest is read.
    if (/[@?#]/.test(text))
        throw refuse('holds a user, a password, a query or a fragment');
    const { protocol, hostname, href } = new URL(text);
    const isClear = protocol === 'http:' && !LOOPBACK.test(hostname);
    if (isClear)
        throw refuse('is not https, which would send the client secret in the clear');
    // Formlabs' own description of the API has the path of its version in the base URL.
    return href.replace(/(?<!\/|\/developer\/v1)(?:\/(?:developer\/v1(?=\/|$))?)+$/, '');
}
function parseTimeout(text) {
    const seconds = /^\d{1,9}$/.test(text) ? Number(text) : 0;
    if (seconds >= 1 && seconds <= MAX_TIMEOUT_SECONDS)
        return seconds;
    const form = `the seconds that a step may keep trying, such as ${DEFAULTS['timeout-seconds']}`;
    const problem = `is not a whole number from 1 to ${MAX_TIMEOUT_SECONDS}`;
    throw wrong('timeout-seconds', problem, `give ${form}, or leave it out`);
}
function checkCredential(name, value) {
    if (typeof value !== 'string' || value === '')
        throw wrong(name, 'is empty', WHERE_SECRETS_GET_LOST);
    // The first test spares nearly every job the second, for which V8 looks up large Unicode sets.
    const isVisible = /^[ -~]*$/.test(value) || !new RegExp(INVISIBLE, 'u').test(value);
    if (isVisible)
        return value;
    const problem = "holds a line break or another character that can't be seen";
    throw wrong(name, problem, 'store the value again, on one line');
}
/** YAML 1.2 booleans, as `getBooleanInput` of the toolkit reads them. */
function parseBoolean(name, text) {
    if (['true', 'True', 'TRUE'].includes(text))
        return true;
    if (['false', 'False', 'FALSE'].includes(text))
        return false;
    throw wrong(name, 'is not a boolean', 'give true or false, or leave it out');
}
function read(name) {
    return getInput(name) || DEFAULTS[name];
}
function wrong(name, problem, advice) {
    return new errors_StepError(`input-${name}`, `Input ${name} ${problem}: ${advice}.`);
}

;// CONCATENATED MODULE: ./src/runner/state.ts




/** The one key. A key that main has not saved could be forged by a later step, through GITHUB_ENV. */
const KEY = 'state';
/** Post gets the state as an environment variable, which Windows limits to about 32,000 characters. */
const STATE_LIMIT = 30_000;
const TOO_LONG = "The access token does not fit in the runner's state, with client-id and api-url: check both.";
const PROXY_URL = /^https?:\/\/(?:[\w.-]{1,253}|\[[\da-f:.]{2,45}\]):[1-9]\d{0,4}$/;
/** Saves the state in place of what was saved before. @throws StepError if it can't be saved */
function save(state) {
    const text = JSON.stringify(state);
    if (text.length > STATE_LIMIT)
        throw new errors_StepError('the-access-token-does-not-fit', TOO_LONG);
    append('STATE', { [KEY]: text });
}
/** Loads what the main step saved: whole, or not at all. @throws StepError if it came back damaged */
function load() {
    // Where main has saved nothing, it has requested nothing.
    if (process.env[`STATE_${KEY}`] === undefined)
        return {};
    const text = getState(KEY);
    try {
        return parse(JSON.parse(text));
    }
    catch (cause) {
        const what = `The state that the main step saved ${text === '' ? 'is empty' : "can't be read"}, so an access token`;
        const advice = 'To end it sooner, delete its credentials on the Developer Tools page.';
        throw new StepError('the-state-is-damaged', `${what} may be alive for up to a day. ${advice}`, cause);
    }
}
function parse(state) {
    const { token, origin, expiresAt, isLeftAlive, doubtUntil, isDoubtSaid } = state;
    const isWhole = Object.getPrototypeOf(state) === Object.prototype &&
        (token === undefined || (typeof token === 'string' && token !== '')) &&
        (token === undefined) === (origin === undefined) &&
        (origin === undefined || isOrigin(origin)) &&
        [expiresAt, doubtUntil].every((time) => time === undefined || new Date(time).toISOString() === time) &&
        [isLeftAlive, isDoubtSaid].every((flag) => flag === undefined || flag === true);
    if (!isWhole)
        throw new TypeError('a part is missing or of another type');
    return state;
}
function isOrigin({ proxyUrl, fingerprint, ...settings }) {
    parseSettings(settings);
    return (proxyUrl === null || (URL.canParse(proxyUrl) && PROXY_URL.test(proxyUrl))) && typeof fingerprint === 'string';
}

;// CONCATENATED MODULE: ./src/main-step.ts








/** The time for a revocation that the post step can repeat, and the least for one that it can't. */
const QUICK_REVOCATION_MS = 1_000;
const ONLY_REVOCATION_MS = 10_000;
const ONE_DAY_MS = 24 * 60 * 60 * 1_000;
const IN_DOUBT = 'The answer to a request did not arrive in full, so an access token that nobody knows may have been issued; it is ' +
    'valid for up to a day.';
const ECHO = 'The answer to the token request holds the client secret in its access_token. Check api-url.';
const LOST = 'An access token could neither be saved nor revoked: delete its credentials, or it stays valid for a day.';
/**
 * The main step: gets an access token and hands it out. Gives the closing line of the log.
 * @throws StepError; a token that was received by then is revoked, or left to the post step to revoke
 */
async function mainStep(cancellation) {
    const doubtUntil = new Date(Date.now() + ONE_DAY_MS).toISOString();
    // Where this step is killed from here on, the post step knows that a token may live.
    save({ doubtUntil });
    let dashboard;
    let held = {};
    let isSaved = false;
    const doubt = () => (dashboard?.isInDoubt() ? { doubtUntil, isDoubtSaid: true } : {});
    try {
        const { settings, clientSecret, skipTokenRevoke } = readInputs();
        const proxy = chooseProxy(settings.apiUrl);
        const origin = { ...settings, proxyUrl: proxy?.url ?? null, fingerprint: fingerprintOf(settings, clientSecret) };
        dashboard = createDashboardClient(settings, clientSecret, proxy, cancellation, logger_namespaceObject);
        await dashboard.requestToken((token, expiresAt) => {
            held = { token, expiresAt };
            mask(token);
            const isEcho = clientSecret.length > 7 && token.includes(clientSecret);
            if (isEcho)
                throw new errors_StepError('the-answer-has-no-usable-token', ECHO);
            save({ origin, ...held, ...doubt() });
            isSaved = true;
        });
        await cancellation.throwIfCancelled();
        // No await from here on, so that no signal can come in between.
        const { token = '', expiresAt } = held;
        append('OUTPUT', { token, 'expires-at': expiresAt ?? '' });
        if (skipTokenRevoke)
            save({ expiresAt, isLeftAlive: true, ...doubt() });
        const validity = expiresAt ? `valid until ${expiresAt}` : 'but did not say how long it is valid';
        logger_info(`${own(settings.apiUrl)} issued an access token, ${validity}.`);
        if (dashboard.isInDoubt())
            logger_info(IN_DOUBT);
        const fate = skipTokenRevoke ? 'stays valid: skip-token-revoke is true' : 'will be revoked when this job ends';
        return `Available as output \`token\`, masked in the log. It ${fate}.`;
    }
    catch (error) {
        if (held.token && !isSaved)
            replaceState({ doubtUntil, isDoubtSaid: true });
        const isGone = !dashboard || !held.token || (await revokeUnused(dashboard, held.token, isSaved));
        if (isGone)
            replaceState(doubt());
        if (!(dashboard?.isInDoubt() && error instanceof errors_StepError))
            throw error;
        throw new errors_StepError(error.help, `${error.message} ${IN_DOUBT}`, error);
    }
}
/** Revokes a token that is not handed out, if it can. @throws StepError if the post step does not know of it either */
async function revokeUnused(dashboard, token, isSaved) {
    try {
        const longest = Math.max(dashboard.endsAt, now() + ONLY_REVOCATION_MS);
        await dashboard.revoke(token, isSaved ? now() + QUICK_REVOCATION_MS : longest);
        logger_info('Revoked an access token that was received but not handed out.');
        return true;
    }
    catch (error) {
        const { message } = asStepError(error);
        if (!isSaved)
            throw new errors_StepError('an-access-token-was-lost', `${LOST} ${message}`, error);
        logger_info(`The post step will revoke an access token that could not be revoked now. ${message}`);
        return false;
    }
}
function replaceState(state) {
    try {
        save(state);
    }
    catch {
        // Post then revokes a token once more, which does no harm (RFC 7009, section 2.2), or warns without need.
    }
}

;// CONCATENATED MODULE: ./src/runner/cancellation.ts


/** After a signal the runner waits 7.5 s before it sends the next one, and kills the process 2.5 s later. */
const TIME_TO_STOP_MS = 6_000;
const STOPPED = 'The runner told this step to stop: the job was cancelled, the step reached its timeout-minutes, or the runner ' +
    'itself is shutting down.';
/** Watches for the signals by which the runner tells a step to stop. */
function watchSignals() {
    const stop = new AbortController();
    let over = Number.POSITIVE_INFINITY;
    // None is let go of again: a late signal would end the process in the middle of its report. SIGBREAK is for Windows.
    for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGBREAK']) {
        process.on(name, () => {
            over = Math.min(over, now() + TIME_TO_STOP_MS);
            stop.abort(new errors_StepError('the-runner-told-this-step-to-stop', STOPPED));
        });
    }
    return { stop: stop.signal, over: () => over };
}

;// CONCATENATED MODULE: ./src/runner/lifecycle.ts




const TOO_OLD = 'This action needs Node 20, and was started with an older one: use a newer runner, or another image.';
/**
 * Runs a step. What becomes of it is decided once: by the closing line that it gives, by an error, or by an event loop
 * that runs dry. An error is reported at the given level: as an error it makes the step red, as a warning it does not.
 */
function runStep(step, level = 'error') {
    let isDecided = false;
    const decide = (report, exitCode) => {
        if (isDecided)
            return;
        isDecided = true;
        process.exitCode = exitCode;
        report();
        // A lookup that has just failed counts as one under way until the next turn of the event loop.
        process.stdout.write('', () => setImmediate(endProcess));
    };
    const succeed = (line) => decide(() => logger_info(line), 0);
    const fail = (error) => decide(() => report(level, error), level === 'error' ? 1 : 0);
    // Node ends with 0 when its event loop runs dry, even if the step still waits for something.
    process.on('beforeExit', () => fail(new Error('the event loop ran dry')));
    process.on('uncaughtException', fail);
    start(step).then(succeed, fail);
}
async function start(step) {
    const { versions, stdout } = process;
    if (Number.parseInt(versions.node, 10) < 20)
        throw new errors_StepError('this-action-needs-node-20', TOO_OLD);
    const cancellation = watchSignals();
    const errors = [];
    stdout.on('error', (error) => errors.push(error));
    const throwIfCancelled = async () => {
        // On Windows it writes to pipes in the background; elsewhere all is written by now, or known not to be.
        if (stdout.writableLength > 0)
            await new Promise((resolve) => stdout.write('', resolve));
        // Node delivers signals when it polls for events. The second turn of the event loop is sure to come after a poll.
        await turns(2);
        cancellation.stop.throwIfAborted();
        if (errors.length === 0)
            return;
        const what = `The log can't be written (${errorCode(errors[0])}), so the access token can't be masked and is not`;
        const advice = 'make sure that the runner is up and has space left on its disk';
        throw new errors_StepError('the-log-cant-be-written', `${what} handed out: ${advice}.`, errors[0]);
    };
    return step({ ...cancellation, throwIfCancelled });
}
/** Ends the process now. Even `process.exit` waits for a name lookup: where that hangs, a red step is killed. */
function endProcess() {
    const isLookingUp = process.getActiveResourcesInfo().includes('GetAddrInfoReqWrap');
    if (isLookingUp && process.exitCode !== 0)
        process.kill(process.pid, 'SIGKILL');
    process.exit();
}

;// CONCATENATED MODULE: ./src/main.ts


runStep(mainStep);

})();

module.exports = __webpack_exports__;
/******/ })()
;