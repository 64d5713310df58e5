/**
 * What the mock Dashboard has: printers in states of every kind, with their prints, tanks, cartridges,
 * events and groups. All of it is made up, in the fields of the published Web API (0.8.1), and so that
 * every filter finds some and leaves out some. Where a printer has nothing to say, such as what an idle
 * one is printing, there is `null`, as on the real Dashboard, even where the published model has no room
 * for it; and who has several cartridges has a list of them.
 */

const MONDAY = '2026-03-02T06:00:00Z';

/** A moment of the week that the fleet is seen in. */
function at(hours: number): string {
  return new Date(Date.parse(MONDAY) + hours * 3_600_000).toISOString();
}

/** The same at every start, and of the form that the API gives to what it has made. */
function uuid(kind: number, number: number): string {
  const hex = (value: number, digits: number) => value.toString(16).padStart(digits, '0');
  return `${hex(kind, 8)}-0000-4000-8000-${hex(number, 12)}`;
}

interface Group {
  id: string;
  name: string;
}

const LAB: Group = { id: uuid(1, 1), name: 'Lab' };
const PRODUCTION: Group = { id: uuid(1, 2), name: 'Production' };

function person(id: number, name: string) {
  const username = name.toLowerCase();
  return { id, username, first_name: name, last_name: 'Example', email: `${username}@example.com` };
}

type Person = ReturnType<typeof person>;

const ADA = person(101, 'Ada');
const BEN = person(102, 'Ben');

const OTTER = 'Form4-EagerOtter';
const HERON = 'Form4L-CalmHeron';
const LYNX = 'Fuse1-BraveLynx';
const BISON = 'Form4-WiseBison';
const CRANE = 'Form4-ProudCrane';
const MOTH = 'Form4-QuietMoth';

/** In place of the serial, where a tank or a cartridge is in no printer. */
const SHELF = '';

interface Place {
  machine: string;
  material: { code: string; name: string };
  group: Group | null;
}

const BLACK = { code: 'FLGPBK05', name: 'Black V5' };
const CLEAR = { code: 'FLGPCL05', name: 'Clear V5' };
const NYLON = { code: 'FLP12G01', name: 'Nylon 12' };

const PLACES: Readonly<Record<string, Place>> = {
  [HERON]: { machine: 'FRML-4-0', material: BLACK, group: PRODUCTION },
  [LYNX]: { machine: 'FS30-1-0', material: NYLON, group: null },
  [BISON]: { machine: 'FORM-4-0', material: CLEAR, group: PRODUCTION },
  [OTTER]: { machine: 'FORM-4-0', material: BLACK, group: LAB },
};

/** What there is to say of a printer, or of the shelf. */
const placeOf = (serial: string): Place => PLACES[serial] ?? { machine: 'FORM-4-0', material: BLACK, group: null };

interface PrintOptions {
  number: number;
  name: string;
  printer: string;
  status: 'PRINTING' | 'FINISHED' | 'ABORTED' | 'WAITING_FOR_RESOLUTION';
  /** When it began, in hours. */
  started: number;
  formAuto?: string;
}

/** A print as a printer tells of it; nine hours long, of which three are over while it prints. */
function printRun({ number, name, printer, status, started, formAuto }: PrintOptions) {
  const { material, group } = placeOf(printer);
  // The one that prints powder has neither.
  const [cartridge, tank] = printer === LYNX ? [null, null] : [`cartridge-${printer}`, `tank-${printer}`];
  const guid = uuid(2, number);
  const isOver = status === 'FINISHED' || status === 'ABORTED';
  const hours = isOver ? 9 : 3;
  const user = number % 3 === 0 ? BEN : ADA;
  return {
    guid,
    name,
    printer,
    status,
    using_open_mode: false,
    z_height_offset_mm: null,
    print_started_at: at(started),
    print_finished_at: isOver ? at(started + hours) : null,
    layer_count: 900,
    volume_ml: 42.5,
    material: material.code,
    layer_thickness_mm: 0.1,
    currently_printing_layer: hours * 100,
    estimated_duration_ms: 9 * 3_600_000,
    elapsed_duration_ms: hours * 3_600_000,
    estimated_time_remaining_ms: (9 - hours) * 3_600_000,
    created_at: at(started - 1),
    print_run_success: {
      print_run: guid,
      print_run_success: status === 'FINISHED' ? 'SUCCESS' : status === 'ABORTED' ? 'FAILURE' : 'UNKNOWN',
      created_at: isOver ? at(started + hours) : null,
    },
    firmware_version: '2.4.1',
    cartridge,
    front_cartridge: cartridge,
    back_cartridge: null,
    tank,
    cylinder: null,
    note: { print_run: guid, note: '', author: user, updated_at: at(started) },
    print_thumbnail: { thumbnail: `https://dashboard.example.com/thumbnails/${guid}.png` },
    post_print_photo_url: null,
    user,
    user_custom_label: '',
    group,
    adaptive_thickness: false,
    message: status === 'WAITING_FOR_RESOLUTION' ? 'The resin is too cold.' : null,
    print_job: null,
    material_name: material.name,
    print_settings_name: 'Default',
    print_settings_code: 'DEFAULT',
    form_auto_serial: formAuto ?? null,
    form_auto_fw_version: formAuto ? '1.9.0' : null,
    harvest_status: formAuto ? 'FORM_CELL_HARVEST_STARTED' : null,
  };
}

type Run = ReturnType<typeof printRun>;

function cartridge(serial: string, printer: string, number: number) {
  const { machine, material, group } = placeOf(printer);
  return {
    serial,
    consumable_type: 'RESIN_CARTRIDGE',
    machine_type_id: machine,
    material: material.code,
    initial_volume_ml: 1_000,
    volume_dispensed_ml: number * 60.5,
    dispense_count: number * 7,
    write_count: number * 11,
    mechanical_version: '2',
    manufacture_date: at(-4_000 - number),
    manufacturer: 'Formlabs',
    display_name: `${material.name} ${number}`,
    lot_number: `LOT-${number}`,
    last_modified: at(number),
    is_empty: number > 15,
    inside_printer: printer,
    connected_group: group?.id ?? null,
    created_at: at(-2_000),
    last_print_date: printer === SHELF ? null : at(number),
  };
}

function tank(serial: string, printer: string, number: number) {
  const { material, group } = placeOf(printer);
  return {
    serial,
    material: material.code,
    layers_printed: number * 1_000,
    print_time_ms: number * 36_000_000,
    heatmap: '',
    heatmap_gif: null,
    mechanical_version: '1',
    manufacture_date: at(-4_000 - number),
    manufacturer: 'Formlabs',
    display_name: `Tank ${number}`,
    lot_number: `LOT-${number}`,
    layer_count: number * 1_000,
    last_modified: at(number),
    inside_printer: printer,
    write_count: number * 5,
    tank_type: 'TANK_FORM_4',
    connected_group: group?.id ?? null,
    first_fill_date: at(-1_000),
    created_at: at(-2_000),
    last_print_date: printer === SHELF ? null : at(number),
  };
}

/** A cartridge as its printer shows it: some fields fewer than in the list of cartridges. */
function cartridgeStatus(cartridge_slot: 'FRONT' | 'BACK', whole: ReturnType<typeof cartridge>) {
  const {
    dispense_count,
    write_count,
    mechanical_version,
    manufacture_date,
    manufacturer,
    lot_number,
    last_modified,
    ...shown
  } = whole;
  return { cartridge: shown, last_modified, cartridge_slot };
}

function tankStatus(whole: ReturnType<typeof tank>) {
  const { mechanical_version, manufacture_date, manufacturer, lot_number, last_modified, write_count, ...shown } =
    whole;
  return { tank: shown, last_modified };
}

interface PrinterOptions {
  serial: string;
  alias: string | null;
  status: 'IDLE' | 'PRINTING' | 'OFFLINE' | 'ERROR';
  current?: Run;
  previous?: Run;
  cartridges?: ReturnType<typeof cartridge>[];
  tank?: ReturnType<typeof tank>;
  formCell?: { serial: string; firmware_version: string; status: string; rotation: string };
  hopper?: { level: number; material: string };
}

function printer(options: PrinterOptions) {
  const { serial, alias, status, current, previous, hopper } = options;
  const { machine, group } = placeOf(serial);
  const isOffline = status === 'OFFLINE';
  const cartridges = (options.cartridges ?? []).map((whole, index) =>
    cartridgeStatus(index === 0 ? 'FRONT' : 'BACK', whole),
  );
  return {
    serial,
    alias,
    machine_type_id: machine,
    printer_status: {
      status,
      last_pinged_at: isOffline ? at(-300) : at(55),
      hopper_level: hopper?.level ?? null,
      material_credit: null,
      hopper_material: hopper?.material ?? '',
      last_modified: isOffline ? at(-300) : at(55),
      current_temperature: isOffline ? null : 34.5,
      current_print_run: current ?? null,
      form_cell: options.formCell ?? null,
      last_printer_cooldown_started: null,
      outer_boundary_offset_corrections: null,
      build_platform_contents: current
        ? 'BUILD_PLATFORM_CONTENTS_POST_PRINT'
        : 'BUILD_PLATFORM_CONTENTS_CONFIRMED_CLEAR',
      tank_mixer_state: 'TANK_MIXER_STATE_PRESENT',
      ready_to_print: status === 'IDLE' ? 'READY_TO_PRINT_READY' : 'READY_TO_PRINT_NOT_READY',
      printer_capabilities: ['REMOTE_PRINT'],
      printernet_capabilities: null,
      camera_status: 'DISCONNECTED',
    },
    // One as it is, several as a list.
    cartridge_status: cartridges.length === 1 ? cartridges[0] : cartridges,
    tank_status: options.tank ? tankStatus(options.tank) : null,
    group,
    previous_print_run: previous ?? null,
    firmware_version: '2.4.1',
    location: isOffline ? null : 'Building 1',
  };
}

/** The prints that are over, by turns on four printers. */
const FINISHED = Array.from({ length: 23 }, (_, index) =>
  printRun({
    number: index + 1,
    name: `Bracket ${index + 1}`,
    printer: [OTTER, HERON, BISON, LYNX][index % 4] ?? OTTER,
    status: index % 9 === 8 ? 'ABORTED' : 'FINISHED',
    started: index * 2,
  }),
);

const RUNNING = {
  onHeron: printRun({
    number: 101,
    name: 'Housing',
    printer: HERON,
    status: 'PRINTING',
    started: 52,
  }),
  onBison: printRun({
    number: 102,
    name: 'Gear',
    printer: BISON,
    status: 'PRINTING',
    started: 52,
    formAuto: 'FormAuto-1',
  }),
  onCrane: printRun({
    number: 103,
    name: 'Clamp',
    printer: CRANE,
    status: 'WAITING_FOR_RESOLUTION',
    started: 52,
  }),
};

/** All prints, the newest first. */
const RUNS = [...Object.values(RUNNING), ...FINISHED.toReversed()];

/** As the list of prints has them: with some fields more than a printer tells. */
export const PRINTS = RUNS.map((run) => ({
  ...run,
  cloud_queue_item: null,
  parts: [
    {
      id: Number.parseInt(run.guid.slice(-4), 16),
      guid: uuid(3, Number.parseInt(run.guid.slice(-4), 16)),
      display_name: run.name,
      end_layer: run.layer_count,
      name: run.name,
      raw_mesh_hash: null,
      start_layer: 0,
      volume_ml: run.volume_ml,
      prepared_scene: uuid(4, 1),
    },
  ],
}));

/** Those in printers, and some on the shelf. */
export const CARTRIDGES = [
  cartridge(`cartridge-${OTTER}`, OTTER, 1),
  cartridge(`cartridge-${HERON}`, HERON, 2),
  cartridge(`cartridge-${HERON}-back`, HERON, 3),
  cartridge(`cartridge-${BISON}`, BISON, 4),
  cartridge(`cartridge-${CRANE}`, CRANE, 5),
  ...Array.from({ length: 12 }, (_, index) => cartridge(`spare-cartridge-${index}`, SHELF, index + 6)),
];

export const TANKS = [
  tank(`tank-${OTTER}`, OTTER, 1),
  tank(`tank-${HERON}`, HERON, 2),
  tank(`tank-${BISON}`, BISON, 3),
  tank(`tank-${CRANE}`, CRANE, 4),
  ...Array.from({ length: 8 }, (_, index) => tank(`spare-tank-${index}`, SHELF, index + 5)),
];

const inside = <Item extends { inside_printer: string }>(list: readonly Item[], serial: string) =>
  list.filter((item) => item.inside_printer === serial);

function withContents(options: PrinterOptions) {
  const [installed] = inside(TANKS, options.serial);
  return printer({
    ...options,
    cartridges: inside(CARTRIDGES, options.serial),
    ...(installed ? { tank: installed } : {}),
  });
}

const lastOf = (serial: string) => {
  const run = FINISHED.findLast((candidate) => candidate.printer === serial);
  return run ? { previous: run } : {};
};

export const PRINTERS = [
  withContents({
    serial: OTTER,
    alias: 'Prototyping 1',
    status: 'IDLE',
    ...lastOf(OTTER),
  }),
  withContents({
    serial: HERON,
    alias: 'Production 1',
    status: 'PRINTING',
    current: RUNNING.onHeron,
    ...lastOf(HERON),
  }),
  withContents({
    serial: LYNX,
    alias: 'Nylon',
    status: 'IDLE',
    hopper: { level: 60, material: NYLON.code },
    ...lastOf(LYNX),
  }),
  // The one with a value in every field that the published model wants one in.
  withContents({
    serial: BISON,
    alias: 'Production 2',
    status: 'PRINTING',
    current: RUNNING.onBison,
    formCell: {
      serial: 'FormAuto-1',
      firmware_version: '1.9.0',
      status: 'IDLE',
      rotation: 'HOME',
    },
    ...lastOf(BISON),
  }),
  withContents({
    serial: CRANE,
    alias: 'Repair | spare',
    status: 'ERROR',
    current: RUNNING.onCrane,
  }),
  withContents({ serial: MOTH, alias: null, status: 'OFFLINE' }),
];

function workgroup(group: Group, members: readonly Person[], hasFleetControl: boolean) {
  return {
    ...group,
    remote_print_enabled_override: hasFleetControl,
    created_at: at(-3_000),
    memberships: members.map(({ username, email, first_name, last_name }) => {
      return { is_admin: username === ADA.username, user: username, email, first_name, last_name };
    }),
    printers: PRINTERS.filter((one) => one.group?.id === group.id).map(({ serial }) => serial),
    invitations: hasFleetControl ? [{ email: 'chris@example.com', is_admin: false }] : [],
    has_fleet_control: hasFleetControl,
    has_fleet_control_updated_by: hasFleetControl ? ADA.id : null,
    settings: { group: group.id, update_mode: 'MANUAL' },
  };
}

/** The last one has neither people nor printers. */
export const GROUPS = [
  workgroup(LAB, [ADA], false),
  workgroup(PRODUCTION, [ADA, BEN], true),
  workgroup({ id: uuid(1, 3), name: 'New' }, [], false),
];

/** What waits for a printer of the one group that has Fleet Control. */
const QUEUE = ['Bracket', 'Housing', 'Gear'].map((name, index) => ({
  id: uuid(5, index + 1),
  name,
  volume_ml: 42.5,
  material_name: BLACK.name,
  created_at: at(53 + index),
  username: index === 0 ? BEN.username : ADA.username,
  allowed_machine_type_ids: index === 0 ? ['FORM-4-0'] : ['FORM-4-0', 'FRML-4-0'],
}));

/** Undefined for a group that there is not. */
export function queueOf(groupId: string): typeof QUEUE | undefined {
  const group = GROUPS.find(({ id }) => id === groupId);
  return group && (group.has_fleet_control ? QUEUE : []);
}

interface EventSubject {
  print_run: Run | null;
  tank: string | null;
  cartridge: string | null;
}

/** The kinds of events are made up as well: the published model lists none. */
function event(label: string, created_at: string, printer: string, subject: Partial<EventSubject> = {}) {
  const nothing: EventSubject = { print_run: null, tank: null, cartridge: null };
  return {
    ...nothing,
    ...subject,
    printer,
    created_at,
    type: label.toUpperCase().replaceAll(' ', '_'),
    type_label: label,
    action: '',
    message: `${label}: ${printer}`,
    group: placeOf(printer).group,
  };
}

const isInstalled = (item: { inside_printer: string }) => item.inside_printer !== SHELF;

/** All events, the newest first. */
export const EVENTS = [
  ...RUNS.map((run) => event('Print started', run.print_started_at, run.printer, { print_run: run })),
  ...FINISHED.map((run) => event('Print ended', run.print_finished_at ?? '', run.printer, { print_run: run })),
  ...TANKS.filter(isInstalled).map(({ serial, inside_printer, last_modified }) =>
    event('Tank inserted', last_modified, inside_printer, { tank: serial }),
  ),
  ...CARTRIDGES.filter(isInstalled).map(({ serial, inside_printer, last_modified }) =>
    event('Cartridge inserted', last_modified, inside_printer, { cartridge: serial }),
  ),
  event('Printer offline', at(-300), MOTH),
]
  .sort((a, b) => Date.parse(b.created_at) - Date.parse(a.created_at))
  .map((one, index) => ({ id: 1_000 - index, ...one, was_read: index > 4 }));
