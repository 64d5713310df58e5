// @actions/core imports `@actions/exec` for the names of operating systems, and @actions/http-client imports `undici`
// and `tunnel`: for a method that this action never calls, and for proxies, which src/dashboard/proxy.ts does in its
// place.
const leftOut = (name) =>
  function leftOutOfTheBundle() {
    throw new Error(`${name} is left out of this bundle, see CONTRIBUTING.md.`);
  };

exports.getExecOutput = leftOut('@actions/exec');
exports.ProxyAgent = leftOut('undici');
exports.httpOverHttp = leftOut('tunnel');
exports.httpsOverHttp = leftOut('tunnel');
exports.httpOverHttps = leftOut('tunnel');
exports.httpsOverHttps = leftOut('tunnel');
