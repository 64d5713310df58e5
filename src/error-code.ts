/** The code that Node and the operating system name an error by, ENOSPC say; undefined if it has none. */
export function errorCode(error: unknown): string | undefined {
  const { code } = Object(error) as { code?: unknown };
  return typeof code === 'string' ? code : undefined;
}
