import { unescape as decode } from 'node:querystring';
import { type Answer, json } from './answer.mts';
import { CARTRIDGES, EVENTS, GROUPS, PRINTERS, PRINTS, queueOf, TANKS } from './fleet.mts';

/**
 * The operations of Formlabs' Web API (0.8.1), but for those of OAuth. All that read are here. Those that
 * write are known, and answer 501.
 *
 * The description says of a query parameter its name and its type, and no more. What else it means is
 * decided here, and listed for those who use it in README.md.
 */
export interface Resource {
  /** Below the API's base path, with the name of what varies in braces. */
  path: string;
  /** Answers a GET. */
  read?: (url: URL, id: string) => Answer;
  /** The query parameters of a GET. */
  parameters: readonly string[];
  /** The methods that the description has and this mock has not. */
  writes: readonly string[];
}

export const API = '/developer/v1';

type Test<Item> = (item: Item) => boolean;
/** Gives what a parameter means, or the reason why it can't mean anything, in Django's words. */
type Parse<Meaning> = (value: string, all: readonly string[]) => Meaning | string;
type Filter<Item> = Parse<Test<Item>>;
type Filters<Item> = Readonly<Record<string, Filter<Item>>>;

/** Equal, with its case. A value that nothing has finds nothing. */
function is<Item>(read: (item: Item) => string | null | undefined): Filter<Item> {
  return (value) => (item) => read(item) === value;
}

/** For a parameter that is an array: its values may be repeated, or parted by commas. */
function isAnyOf<Item>(read: (item: Item) => string): Filter<Item> {
  return (_value, all) => {
    const wanted = all.flatMap((value) => value.split(','));
    return (item) => wanted.includes(read(item));
  };
}

/** A part of it, in any case. */
function contains<Item>(read: (item: Item) => string): Filter<Item> {
  return (value) => (item) => read(item).toLowerCase().includes(value.toLowerCase());
}

/** Equal, and nothing but what there can be. */
function isOneOf<Item>(choices: readonly string[], read: (item: Item) => string): Filter<Item> {
  return (value) => {
    if (choices.includes(value)) return (item) => read(item) === value;
    return `Select a valid choice. ${value} is not one of the available choices.`;
  };
}

/** A date is when the item was created. Equal is the very moment, and before and after leave it out. */
function created(holds: (created: number, wanted: number) => boolean): Filter<{ created_at: string }> {
  return (value) => {
    const wanted = parseDate(value);
    if (Number.isNaN(wanted)) return 'Enter a valid date/time.';
    return ({ created_at }) => holds(Date.parse(created_at), wanted);
  };
}

/** Milliseconds since 1970; NaN for what is no date. Without an offset it is UTC, without a time midnight. */
function parseDate(text: string): number {
  const [, day = '', time = '00:00', offset = 'Z'] =
    /^(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d(?:\.\d+)?)?)(Z|[+-]\d\d:\d\d)?)?$/.exec(text) ?? [];
  const midnight = new Date(`${day}T00:00Z`);
  // A day that its month does not have would be taken for one of the next month.
  const isDay = !Number.isNaN(midnight.valueOf()) && midnight.toISOString().startsWith(day);
  return isDay ? Date.parse(`${day}T${time}${offset}`) : Number.NaN;
}

const STATUSES = (
  'QUEUED PREPRINT PRINTING PAUSED PAUSING FINISHED ABORTING ABORTED ERROR WAITING_FOR_RESOLUTION ' +
  'PREHEAT PRECOAT POSTCOAT'
).split(' ');

const findPrinter = (serial: string) => PRINTERS.find((printer) => printer.serial === serial);

/** A material by its code, a printer by its serial. */
const PRINT_FILTERS: Filters<(typeof PRINTS)[number]> = {
  date: created((at, wanted) => at === wanted),
  date__gt: created((at, wanted) => at > wanted),
  date__lt: created((at, wanted) => at < wanted),
  machine_type_id: isAnyOf((print) => findPrinter(print.printer)?.machine_type_id ?? ''),
  material: is((print) => print.material),
  name: contains((print) => print.name),
  printer: is((print) => print.printer),
  status: isOneOf(STATUSES, (print) => print.status),
};

const EVENT_FILTERS: Filters<(typeof EVENTS)[number]> = {
  cartridge: is((event) => event.cartridge),
  date__gt: created((at, wanted) => at > wanted),
  date__lt: created((at, wanted) => at < wanted),
  print_run: is((event) => event.print_run?.guid),
  printer: is((event) => event.printer),
  tank: is((event) => event.tank),
  type: is((event) => event.type),
};

/** The first whose path fits counts. */
export const RESOURCES: readonly Resource[] = [
  pages('/cartridges/', () => CARTRIDGES),
  pages('/events/', () => EVENTS, EVENT_FILTERS),
  { ...whole('/groups/', () => GROUPS), writes: ['POST'] },
  writesOnly('/groups/bulk-add-printers/', 'POST'),
  writesOnly('/groups/{group_id}/', 'PATCH', 'DELETE'),
  writesOnly('/groups/{group_id}/members/', 'POST', 'PUT', 'DELETE'),
  whole('/groups/{group_id}/queue/', queueOf),
  whole('/printers/', () => PRINTERS),
  whole('/printers/{printer_serial}/', findPrinter),
  pages(
    '/printers/{printer_serial}/prints/',
    (serial) => findPrinter(serial) && PRINTS.filter(({ printer }) => printer === serial),
    PRINT_FILTERS,
  ),
  pages('/prints/', () => PRINTS, PRINT_FILTERS),
  pages('/tanks/', () => TANKS),
];

/** What is at an address: which methods it allows, and what it answers to whom may ask. */
export function findResource(url: URL): { allow: string; answer: (method: string) => Answer } | undefined {
  for (const { path, read, writes } of RESOURCES) {
    const match = new RegExp(`^${API}${path.replace(/\{\w+\}/, '([^/]+)')}$`).exec(url.pathname);
    if (match === null) continue;
    const allow = [...(read ? ['GET'] : []), ...writes, ...(read ? ['HEAD'] : []), 'OPTIONS'].join(', ');
    const answer = (method: string) => {
      if (read && (method === 'GET' || method === 'HEAD')) return read(url, decode(match[1] ?? ''));
      if (method === 'OPTIONS') return json(200, {});
      if (!writes.includes(method)) return json(405, { detail: `Method "${method}" not allowed.` });
      return json(501, { detail: `The mock Dashboard only reads: it does not have ${method} ${API}${path}.` });
    };
    return { allow, answer };
  }
  return undefined;
}

function writesOnly(path: string, ...writes: string[]): Resource {
  return { path, parameters: [], writes };
}

/** One answer with all of it; undefined where there is nothing. */
function whole(path: string, find: (id: string) => unknown): Resource {
  const read = (_url: URL, id: string) => {
    const found = find(id);
    return found === undefined ? NOT_FOUND : json(200, found);
  };
  return { path, read, parameters: [], writes: [] };
}

/**
 * A list that comes in pages, of what passes all filters that the query names. What else the query has is
 * ignored, as Django does.
 */
function pages<Item>(
  path: string,
  list: (id: string) => readonly Item[] | undefined,
  filters: Filters<Item> = {},
): Resource {
  const read = (url: URL, id: string) => {
    const items = list(id);
    if (items === undefined) return NOT_FOUND;
    const { take, errors } = readQuery(url.searchParams);
    const tests = Object.entries(filters).map(([name, filter]) => take(name, filter));
    const number = take('page', positiveInteger) ?? 1;
    const length = Math.min(take('per_page', positiveInteger) ?? LONGEST_PAGE, LONGEST_PAGE);
    if (Object.keys(errors).length > 0) return json(400, errors);
    const found = items.filter((item) => tests.every((test) => test === undefined || test(item)));
    return page(found, number, length, url);
  };
  return { path, read, parameters: [...Object.keys(filters), 'page', 'per_page'], writes: [] };
}

const NOT_FOUND = json(404, { detail: 'Not found.' });

/** However many are asked for, a page has no more: so lists have more pages than one. */
const LONGEST_PAGE = 10;

/**
 * Takes one parameter after the other, and keeps what is wrong with them. Of one that is repeated the last
 * counts, as in Django. One that is empty is wrong, where Django would leave it out: a variable was empty.
 */
function readQuery(query: URLSearchParams) {
  const errors: Record<string, string[]> = {};
  function take<Meaning>(name: string, parse: Parse<Meaning>): Meaning | undefined {
    const all = query.getAll(name);
    const value = all.at(-1);
    if (value === undefined) return undefined;
    const meaning = all.includes('') ? 'This field may not be blank.' : parse(value, all);
    if (typeof meaning !== 'string') return meaning;
    errors[name] = [meaning];
    return undefined;
  }
  return { take, errors };
}

function positiveInteger(value: string): number | string {
  if (!/^[+-]?\d+$/.test(value)) return 'A valid integer is required.';
  return Number(value) >= 1 ? Number(value) : 'Ensure this value is greater than or equal to 1.';
}

/** One page of a list, with the addresses of those beside it, as Django REST framework has them. */
function page(list: readonly unknown[], number: number, length: number, url: URL): Answer {
  const last = Math.max(1, Math.ceil(list.length / length));
  if (number > last) return json(404, { detail: 'Invalid page.' });
  const address = (wanted: number) => {
    if (wanted < 1 || wanted > last) return null;
    const there = new URL(url);
    if (wanted === 1) there.searchParams.delete('page');
    else there.searchParams.set('page', String(wanted));
    return there.href;
  };
  return json(200, {
    count: list.length,
    next: address(number + 1),
    previous: address(number - 1),
    results: list.slice((number - 1) * length, number * length),
  });
}
