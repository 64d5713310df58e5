/**
 * The models of Formlabs' Web API, version 0.8.1, as far as the sandbox serves them: each field, its type,
 * and whether it may be null. `orNull` marks what the published models allow, `orNullInFact` what real
 * printers have all the same and Formlabs' Python client refuses.
 */
export type Check = (value: unknown, path: string) => string[];

const is =
  (kind: string, test: (value: unknown) => boolean): Check =>
  (value, path) =>
    test(value) ? [] : [`${path} is not ${kind}: ${JSON.stringify(value)}`];

const text = is('text', (value) => typeof value === 'string');
const integer = is('a whole number', Number.isInteger);
const number = is('a number', (value) => typeof value === 'number');
const flag = is('true or false', (value) => typeof value === 'boolean');
const time = is('a time', (value) => /^\d{4}-\d\d-\d\dT[\d:.]+Z$/.test(String(value)));
const uuid = is('a UUID', (value) => /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(String(value)));
const uri = is('a URI', (value) => URL.canParse(String(value)));
const object = is('an object', (value) => Object(value) === value && !Array.isArray(value));
const anything: Check = () => [];

const oneOf = (...values: string[]): Check =>
  is(`one of ${values.join(', ')}`, (value) => values.includes(String(value)));

const orNull =
  (check: Check): Check =>
  (value, path) =>
    value === null ? [] : check(value, path);
const orNullInFact = orNull;

export const listOf =
  (check: Check): Check =>
  (value, path) =>
    Array.isArray(value) ? value.flatMap((item, index) => check(item, `${path}[${index}]`)) : [`${path} is no list`];

const oneOrList =
  (check: Check): Check =>
  (value, path) =>
    (Array.isArray(value) ? listOf(check) : check)(value, path);

/** Every field, and no other. */
const fields =
  (expected: Readonly<Record<string, Check>>): Check =>
  (value, path) => {
    if (object(value, path).length > 0) return object(value, path);
    const actual: Record<string, unknown> = Object(value);
    return [
      ...Object.keys(actual)
        .filter((name) => !(name in expected))
        .map((name) => `${path}.${name} is no field of the model`),
      ...Object.entries(expected).flatMap(([name, check]) =>
        name in actual ? check(actual[name], `${path}.${name}`) : [`${path}.${name} is missing`],
      ),
    ];
  };

const user = fields({
  id: integer,
  username: text,
  first_name: text,
  last_name: text,
  email: text,
});
const group = fields({ id: uuid, name: text });

const printRunFields: Record<string, Check> = {
  guid: uuid,
  name: text,
  printer: text,
  status: oneOf(
    'QUEUED',
    'PREPRINT',
    'PRINTING',
    'PAUSED',
    'PAUSING',
    'FINISHED',
    'ABORTING',
    'ABORTED',
    'ERROR',
    'WAITING_FOR_RESOLUTION',
    'PREHEAT',
    'PRECOAT',
    'POSTCOAT',
  ),
  using_open_mode: orNull(flag),
  z_height_offset_mm: orNull(number),
  print_started_at: orNull(time),
  print_finished_at: orNull(time),
  layer_count: integer,
  volume_ml: number,
  material: orNull(text),
  layer_thickness_mm: number,
  currently_printing_layer: integer,
  estimated_duration_ms: integer,
  elapsed_duration_ms: integer,
  estimated_time_remaining_ms: integer,
  created_at: time,
  print_run_success: fields({
    print_run: text,
    print_run_success: oneOf('UNKNOWN', 'SUCCESS', 'FAILURE'),
    created_at: orNull(time),
  }),
  firmware_version: orNull(text),
  cartridge: orNull(text),
  front_cartridge: orNull(text),
  back_cartridge: orNull(text),
  tank: orNull(text),
  cylinder: orNull(text),
  note: fields({ print_run: text, note: text, author: user, updated_at: time }),
  print_thumbnail: fields({ thumbnail: uri }),
  post_print_photo_url: orNull(text),
  user,
  user_custom_label: text,
  group: orNullInFact(group),
  adaptive_thickness: flag,
  message: orNull(text),
  print_job: orNull(text),
  material_name: text,
  print_settings_name: text,
  print_settings_code: text,
  form_auto_serial: orNull(text),
  form_auto_fw_version: orNull(text),
  harvest_status: orNull(
    oneOf(
      'FORM_CELL_HARVEST_UNKNOWN',
      'FORM_CELL_HARVEST_STARTED',
      'FORM_CELL_HARVEST_FINISHED',
      'FORM_CELL_HARVEST_FAILED',
      'FORM_CELL_HARVEST_ABORTED',
    ),
  ),
};

const cartridgeStatus = fields({
  cartridge: fields({
    serial: text,
    material: orNull(text),
    consumable_type: text,
    initial_volume_ml: number,
    volume_dispensed_ml: number,
    display_name: text,
    is_empty: flag,
    inside_printer: text,
    connected_group: orNull(uuid),
    created_at: orNull(time),
    last_print_date: orNull(time),
    machine_type_id: text,
  }),
  last_modified: time,
  cartridge_slot: oneOf('FRONT', 'BACK'),
});

const tankStatus = fields({
  tank: fields({
    serial: text,
    material: orNull(text),
    print_time_ms: orNull(integer),
    layers_printed: orNull(integer),
    first_fill_date: orNull(time),
    heatmap: text,
    heatmap_gif: orNull(text),
    display_name: text,
    layer_count: integer,
    inside_printer: text,
    tank_type: orNull(text),
    connected_group: orNull(uuid),
    created_at: orNull(time),
    last_print_date: orNull(time),
  }),
  last_modified: time,
});

export const printer = fields({
  serial: text,
  alias: orNull(text),
  machine_type_id: text,
  printer_status: fields({
    status: text,
    last_pinged_at: orNull(time),
    hopper_level: orNull(integer),
    material_credit: orNull(number),
    hopper_material: text,
    last_modified: time,
    current_temperature: orNull(number),
    current_print_run: orNullInFact(fields(printRunFields)),
    form_cell: orNullInFact(fields({ serial: text, firmware_version: text, status: text, rotation: text })),
    last_printer_cooldown_started: orNull(time),
    outer_boundary_offset_corrections: anything,
    build_platform_contents: oneOf(
      'BUILD_PLATFORM_CONTENTS_NOT_SUPPORTED',
      'BUILD_PLATFORM_CONTENTS_MISSING',
      'BUILD_PLATFORM_CONTENTS_UNCONFIRMED',
      'BUILD_PLATFORM_CONTENTS_CONFIRMED_CLEAR',
      'BUILD_PLATFORM_CONTENTS_CONFIRMED_DIRTY',
      'BUILD_PLATFORM_CONTENTS_POST_PRINT',
    ),
    tank_mixer_state: oneOf(
      'TANK_MIXER_STATE_NOT_SUPPORTED',
      'TANK_MIXER_STATE_PRESENT',
      'TANK_MIXER_STATE_UNCONFIRMED',
      'TANK_MIXER_STATE_MISSING',
    ),
    ready_to_print: oneOf(
      'READY_TO_PRINT_NOT_SUPPORTED',
      'READY_TO_PRINT_READY',
      'READY_TO_PRINT_NEEDS_CONFIRMATION',
      'READY_TO_PRINT_NOT_READY',
    ),
    printer_capabilities: listOf(text),
    printernet_capabilities: orNull(listOf(text)),
    camera_status: oneOf('UNKNOWN', 'DISCONNECTED', 'ENABLED', 'DISABLED'),
  }),
  cartridge_status: oneOrList(cartridgeStatus),
  tank_status: orNullInFact(tankStatus),
  group: orNullInFact(group),
  previous_print_run: orNullInFact(object),
  firmware_version: text,
  location: orNull(text),
});

const pageOf = (item: Check): Check =>
  fields({ count: integer, next: orNull(uri), previous: orNull(uri), results: listOf(item) });

/** What each list with pages holds on one of them. */
export const PAGES: Readonly<Record<string, Check>> = {
  prints: pageOf(
    fields({
      ...printRunFields,
      cloud_queue_item: orNull(object),
      parts: listOf(
        fields({
          id: integer,
          guid: uuid,
          display_name: text,
          end_layer: integer,
          name: text,
          raw_mesh_hash: orNull(text),
          start_layer: integer,
          volume_ml: number,
          prepared_scene: text,
        }),
      ),
    }),
  ),
  tanks: pageOf(
    fields({
      serial: text,
      material: orNull(text),
      layers_printed: orNull(integer),
      print_time_ms: orNull(integer),
      heatmap: text,
      heatmap_gif: orNull(text),
      mechanical_version: orNull(text),
      manufacture_date: time,
      manufacturer: text,
      display_name: text,
      lot_number: text,
      layer_count: integer,
      last_modified: time,
      inside_printer: text,
      write_count: integer,
      tank_type: orNull(text),
      connected_group: orNull(uuid),
      first_fill_date: orNull(time),
      created_at: orNull(time),
      last_print_date: orNull(time),
    }),
  ),
  cartridges: pageOf(
    fields({
      serial: text,
      consumable_type: text,
      machine_type_id: text,
      material: orNull(text),
      initial_volume_ml: number,
      volume_dispensed_ml: number,
      dispense_count: orNull(integer),
      write_count: integer,
      mechanical_version: text,
      manufacture_date: time,
      manufacturer: text,
      display_name: text,
      lot_number: text,
      last_modified: time,
      is_empty: flag,
      inside_printer: text,
      connected_group: orNull(uuid),
      created_at: orNull(time),
      last_print_date: orNull(time),
    }),
  ),
};
