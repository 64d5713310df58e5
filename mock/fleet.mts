/**
 * What the embedded Dashboard has: printers in states of every kind, with their prints, tanks and
 * cartridges. All of it is made up, in the fields of the published Web API (0.8.1). Where a printer has
 * nothing to say, such as what an idle one is printing, there is `null`, as on the real Dashboard, even
 * where the published model has no room for it; and who has several cartridges has a list of them.
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

const GROUPS = {
  lab: { id: uuid(1, 1), name: 'Lab' },
  production: { id: uuid(1, 2), name: 'Production' },
};
type Group = (typeof GROUPS)[keyof typeof GROUPS];

const ADA = {
  id: 101,
  username: 'ada',
  first_name: 'Ada',
  last_name: 'Example',
  email: 'ada@example.com',
};

interface PrintOptions {
  number: number;
  name: string;
  printer: string;
  status: 'PRINTING' | 'FINISHED' | 'ABORTED' | 'WAITING_FOR_RESOLUTION';
  /** When it began, in hours. */
  started: number;
  group?: Group | null;
  formAuto?: string;
}

/** A print as a printer tells of it; nine hours long, of which three are over while it prints. */
function printRun({ number, name, printer, status, started, group, formAuto }: PrintOptions) {
  const guid = uuid(2, number);
  const isOver = status === 'FINISHED' || status === 'ABORTED';
  const hours = isOver ? 9 : 3;
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
    material: 'FLGPBK05',
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
    cartridge: `cartridge-${printer}`,
    front_cartridge: `cartridge-${printer}`,
    back_cartridge: null,
    tank: `tank-${printer}`,
    cylinder: null,
    note: { print_run: guid, note: '', author: ADA, updated_at: at(started) },
    print_thumbnail: { thumbnail: `https://dashboard.example.com/thumbnails/${guid}.png` },
    post_print_photo_url: null,
    user: ADA,
    user_custom_label: '',
    group: group ?? null,
    adaptive_thickness: false,
    message: status === 'WAITING_FOR_RESOLUTION' ? 'The resin is too cold.' : null,
    print_job: null,
    material_name: 'Black V5',
    print_settings_name: 'Default',
    print_settings_code: 'DEFAULT',
    form_auto_serial: formAuto ?? null,
    form_auto_fw_version: formAuto ? '1.9.0' : null,
    harvest_status: formAuto ? 'FORM_CELL_HARVEST_STARTED' : null,
  };
}

function cartridge(serial: string, printer: string, number: number, group: Group | null = null) {
  return {
    serial,
    consumable_type: 'RESIN_CARTRIDGE',
    machine_type_id: 'FORM-4-0',
    material: 'FLGPBK05',
    initial_volume_ml: 1_000,
    volume_dispensed_ml: number * 60.5,
    dispense_count: number * 7,
    write_count: number * 11,
    mechanical_version: '2',
    manufacture_date: at(-4_000 - number),
    manufacturer: 'Formlabs',
    display_name: `Black ${number}`,
    lot_number: `LOT-${number}`,
    last_modified: at(number),
    is_empty: number > 15,
    inside_printer: printer,
    connected_group: group?.id ?? null,
    created_at: at(-2_000),
    last_print_date: printer === '' ? null : at(number),
  };
}

function tank(serial: string, printer: string, number: number, group: Group | null = null) {
  return {
    serial,
    material: 'FLGPBK05',
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
    last_print_date: printer === '' ? null : at(number),
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
  machine?: string;
  status: 'IDLE' | 'PRINTING' | 'OFFLINE' | 'ERROR';
  group?: Group;
  current?: ReturnType<typeof printRun>;
  previous?: ReturnType<typeof printRun>;
  cartridges?: ReturnType<typeof cartridge>[];
  tank?: ReturnType<typeof tank>;
  formCell?: { serial: string; firmware_version: string; status: string; rotation: string };
  hopper?: { level: number; material: string };
}

function printer(options: PrinterOptions) {
  const { serial, alias, status, current, previous, hopper } = options;
  const isOffline = status === 'OFFLINE';
  const cartridges = (options.cartridges ?? []).map((whole, index) =>
    cartridgeStatus(index === 0 ? 'FRONT' : 'BACK', whole),
  );
  return {
    serial,
    alias,
    machine_type_id: options.machine ?? 'FORM-4-0',
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
    group: options.group ?? null,
    previous_print_run: previous ?? null,
    firmware_version: '2.4.1',
    location: isOffline ? null : 'Building 1',
  };
}

const OTTER = 'Form4-EagerOtter';
const HERON = 'Form4L-CalmHeron';
const LYNX = 'Fuse1-BraveLynx';
const BISON = 'Form4-WiseBison';
const CRANE = 'Form4-ProudCrane';
const MOTH = 'Form4-QuietMoth';

/** The prints that are over, by turns on three printers. */
const FINISHED = Array.from({ length: 23 }, (_, index) =>
  printRun({
    number: index + 1,
    name: `Bracket ${index + 1}`,
    printer: [OTTER, HERON, BISON][index % 3] ?? OTTER,
    status: index % 9 === 8 ? 'ABORTED' : 'FINISHED',
    started: index * 2,
    group: GROUPS.lab,
  }),
);

const RUNNING = {
  onHeron: printRun({
    number: 101,
    name: 'Housing',
    printer: HERON,
    status: 'PRINTING',
    started: 52,
    group: GROUPS.production,
  }),
  onBison: printRun({
    number: 102,
    name: 'Gear',
    printer: BISON,
    status: 'PRINTING',
    started: 52,
    group: GROUPS.production,
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
export const PRINTS = [...Object.values(RUNNING), ...FINISHED.toReversed()].map((run) => ({
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
  cartridge(`cartridge-${OTTER}`, OTTER, 1, GROUPS.lab),
  cartridge(`cartridge-${HERON}`, HERON, 2, GROUPS.production),
  cartridge(`cartridge-${HERON}-back`, HERON, 3, GROUPS.production),
  cartridge(`cartridge-${BISON}`, BISON, 4, GROUPS.production),
  cartridge(`cartridge-${CRANE}`, CRANE, 5),
  ...Array.from({ length: 12 }, (_, index) => cartridge(`spare-cartridge-${index}`, '', index + 6)),
];

export const TANKS = [
  tank(`tank-${OTTER}`, OTTER, 1, GROUPS.lab),
  tank(`tank-${HERON}`, HERON, 2, GROUPS.production),
  tank(`tank-${BISON}`, BISON, 3, GROUPS.production),
  tank(`tank-${CRANE}`, CRANE, 4),
  ...Array.from({ length: 8 }, (_, index) => tank(`spare-tank-${index}`, '', index + 5)),
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
    group: GROUPS.lab,
    ...lastOf(OTTER),
  }),
  withContents({
    serial: HERON,
    alias: 'Production 1',
    status: 'PRINTING',
    group: GROUPS.production,
    current: RUNNING.onHeron,
    ...lastOf(HERON),
  }),
  withContents({
    serial: LYNX,
    alias: 'Nylon',
    machine: 'FS30-1-0',
    status: 'IDLE',
    hopper: { level: 60, material: 'FLP12G01' },
  }),
  // The one with a value in every field that the published model wants one in.
  withContents({
    serial: BISON,
    alias: 'Production 2',
    status: 'PRINTING',
    group: GROUPS.production,
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
