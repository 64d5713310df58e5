/** Reads JSON. Undefined if the text is no JSON. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/**
 * Reads a JSON object.
 *
 * @returns its own fields; a map, so that no name in it means anything to JavaScript. Undefined if the
 *   text is no JSON object.
 */
export function parseJsonObject(text: string): ReadonlyMap<string, unknown> | undefined {
  const value = parseJson(text);
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
  return new Map(Object.entries(value));
}
