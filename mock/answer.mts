/** What the mock Dashboard answers to one request. */
export interface Answer {
  status: number;
  headers: Record<string, string>;
  /** Sent as JSON, unless it is a string. */
  body: unknown;
}

/** What Django says where nothing else was said. */
export const HTML = { 'content-type': 'text/html; charset=utf-8' };

export function json(status: number, body: unknown, headers: Record<string, string> = {}): Answer {
  return { status, headers, body };
}
