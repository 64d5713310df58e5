import { parseArgs } from 'node:util';

/**
 * Reads the options of a command that takes whole numbers only, such as `--jobs 200`.
 *
 * @param defaults every option, with the value that it has unless given
 * @param usage what to print where an option is wrong
 * @throws Error if an option is unknown, or not a whole number from 1 up
 */
export function readNumbers<Name extends string>(
  defaults: Readonly<Record<Name, number>>,
  usage: string,
): Record<Name, number> {
  const names = Object.keys(defaults) as Name[];
  const options = Object.fromEntries(names.map((name) => [name, { type: 'string' as const }]));
  try {
    const numbers: Record<Name, number> = { ...defaults };
    const { values } = parseArgs({ options });
    for (const name of names) {
      const text = values[name];
      if (text !== undefined) numbers[name] = wholeNumber(text, name, 1);
    }
    return numbers;
  } catch (error) {
    throw new Error(`${error instanceof Error ? error.message : String(error)}\n${usage}`);
  }
}

/** @throws Error if the text is not a whole number, or less than the least */
export function wholeNumber(text: string, name: string, least: number): number {
  const number = /^\d+$/.test(text) ? Number(text) : -1;
  if (number < least || !Number.isSafeInteger(number)) {
    throw new Error(`--${name} is not a whole number from ${least} up.`);
  }
  return number;
}
