// @actions/http-client imports this one class, for a method that this action never calls.
exports.ProxyAgent = function ProxyAgent() {
  throw new Error(
    'undici is left out of this bundle: HttpClient.getAgentDispatcher() can not be used here.',
  );
};
