/**
 * The models of Formlabs' Web API, version 0.8.1, as far as the mock Dashboard answers with them: every
 * field with its type, which is text unless it is named. `?` is a type that the models allow to be null,
 * `~` one that they don't and real printers have all the same, as Formlabs' Python client finds out. `[]`
 * is a list, and `*` is one or a list. What stands between bars are the values of an enumeration.
 */
const PRINT_RUN = `
  guid: uuid, name, printer, status: StatusEnum, using_open_mode: flag?, z_height_offset_mm: number?,
  print_started_at: time?, print_finished_at: time?, layer_count: integer, volume_ml: number, material: text?,
  layer_thickness_mm: number, currently_printing_layer: integer, estimated_duration_ms: integer,
  elapsed_duration_ms: integer, estimated_time_remaining_ms: integer, created_at: time,
  print_run_success: PrintRunSuccess, firmware_version: text?, cartridge: text?, front_cartridge: text?,
  back_cartridge: text?, tank: text?, cylinder: text?, note: PrintRunNote,
  print_thumbnail: PrintThumbnailSerializerOnlyThumbnail, post_print_photo_url: text?, user: BasicUser,
  user_custom_label, group: PrinterGroup~, adaptive_thickness: flag, message: text?, print_job: text?,
  material_name, print_settings_name, print_settings_code, form_auto_serial: text?, form_auto_fw_version: text?,
  harvest_status: HarvestStatusEnum?`;

const pageOf = (model: string) => `count: integer, next: uri?, previous: uri?, results: ${model}[]`;

const MODELS: Readonly<Record<string, string>> = {
  PaginatedCartridgeList: pageOf('Cartridge'),
  Cartridge: `
    serial, consumable_type, machine_type_id, material: text?, initial_volume_ml: number,
    volume_dispensed_ml: number, dispense_count: integer?, write_count: integer, mechanical_version,
    manufacture_date: time, manufacturer, display_name, lot_number, last_modified: time, is_empty: flag,
    inside_printer, connected_group: uuid?, created_at: time?, last_print_date: time?`,

  PaginatedUserEventReadOnlyList: pageOf('UserEventReadOnly'),
  UserEventReadOnly: `
    id: integer, printer: text?, created_at: time, print_run: MyPrintRunReadOnly~, tank: text?, cartridge: text?,
    type, type_label, action, message, was_read: flag, group: PrinterGroup~`,

  PaginatedPrintRunWithFleetControlDataList: pageOf('PrintRunWithFleetControlData'),
  PrintRunWithFleetControlData: `${PRINT_RUN}, cloud_queue_item: object?, parts: PrintPart[]`,
  MyPrintRunReadOnly: PRINT_RUN,
  StatusEnum: `
    QUEUED | PREPRINT | PRINTING | PAUSED | PAUSING | FINISHED | ABORTING | ABORTED | ERROR |
    WAITING_FOR_RESOLUTION | PREHEAT | PRECOAT | POSTCOAT`,
  PrintRunSuccess: 'print_run, print_run_success: PrintRunSuccessEnum, created_at: time?',
  PrintRunSuccessEnum: 'UNKNOWN | SUCCESS | FAILURE',
  PrintRunNote: 'print_run, note, author: BasicUser, updated_at: time',
  BasicUser: 'id: integer, username, first_name, last_name, email: email',
  PrintThumbnailSerializerOnlyThumbnail: 'thumbnail: uri',
  PrinterGroup: 'id: uuid, name',
  HarvestStatusEnum: `
    FORM_CELL_HARVEST_UNKNOWN | FORM_CELL_HARVEST_STARTED | FORM_CELL_HARVEST_FINISHED |
    FORM_CELL_HARVEST_FAILED | FORM_CELL_HARVEST_ABORTED`,
  PrintPart: `
    id: integer, guid: uuid, display_name, end_layer: integer, name, raw_mesh_hash: text?, start_layer: integer,
    volume_ml: number, prepared_scene`,

  Workgroup: `
    id: uuid, name, remote_print_enabled_override: flag, created_at: time, memberships: WorkgroupMembership[],
    printers: text[], invitations: GroupInvitation[], has_fleet_control: flag,
    has_fleet_control_updated_by: integer?, settings: WorkgroupSettings`,
  WorkgroupMembership: 'is_admin: flag, user, email, first_name, last_name',
  GroupInvitation: 'email: email, is_admin: flag',
  WorkgroupSettings: 'group: uuid, update_mode',
  DeveloperAPIMyCloudQueueItems: `
    id: uuid, name, volume_ml: number, material_name, created_at: time, username,
    allowed_machine_type_ids: text[]`,

  DeveloperAPIMyPrinter: `
    serial, alias: text?, machine_type_id, printer_status: MyDeepPrinterStatus,
    cartridge_status: PrinterCartridgeStatus*, tank_status: PrinterTankStatus~, group: PrinterGroup~,
    previous_print_run: object~, firmware_version, location: text?`,
  MyDeepPrinterStatus: `
    status, last_pinged_at: time?, hopper_level: integer?, material_credit: number?, hopper_material,
    last_modified: time, current_temperature: number?, current_print_run: MyPrintRunReadOnly~,
    form_cell: FormCell~, last_printer_cooldown_started: time?, outer_boundary_offset_corrections: anything?,
    build_platform_contents: BuildPlatformContentsEnum, tank_mixer_state: TankMixerStateEnum,
    ready_to_print: ReadyToPrintEnum, printer_capabilities: text[], printernet_capabilities: text[]?,
    camera_status: CameraStatusEnum`,
  FormCell: 'serial, firmware_version, status, rotation',
  BuildPlatformContentsEnum: `
    BUILD_PLATFORM_CONTENTS_NOT_SUPPORTED | BUILD_PLATFORM_CONTENTS_MISSING |
    BUILD_PLATFORM_CONTENTS_UNCONFIRMED | BUILD_PLATFORM_CONTENTS_CONFIRMED_CLEAR |
    BUILD_PLATFORM_CONTENTS_CONFIRMED_DIRTY | BUILD_PLATFORM_CONTENTS_POST_PRINT`,
  TankMixerStateEnum: `
    TANK_MIXER_STATE_NOT_SUPPORTED | TANK_MIXER_STATE_PRESENT | TANK_MIXER_STATE_UNCONFIRMED |
    TANK_MIXER_STATE_MISSING`,
  ReadyToPrintEnum: `
    READY_TO_PRINT_NOT_SUPPORTED | READY_TO_PRINT_READY | READY_TO_PRINT_NEEDS_CONFIRMATION |
    READY_TO_PRINT_NOT_READY`,
  CameraStatusEnum: 'UNKNOWN | DISCONNECTED | ENABLED | DISABLED',
  PrinterCartridgeStatus: 'cartridge: CartridgeReadOnly, last_modified: time, cartridge_slot: CartridgeSlotEnum',
  CartridgeReadOnly: `
    serial, material: text?, consumable_type, initial_volume_ml: number, volume_dispensed_ml: number,
    display_name, is_empty: flag, inside_printer, connected_group: uuid?, created_at: time?,
    last_print_date: time?, machine_type_id`,
  CartridgeSlotEnum: 'FRONT | BACK',
  PrinterTankStatus: 'tank: TankReadOnly, last_modified: time',
  TankReadOnly: `
    serial, material: text?, print_time_ms: integer?, layers_printed: integer?, first_fill_date: time?, heatmap,
    heatmap_gif: text?, display_name, layer_count: integer, inside_printer, tank_type: text?,
    connected_group: uuid?, created_at: time?, last_print_date: time?`,

  PaginatedTankList: pageOf('Tank'),
  Tank: `
    serial, material: text?, layers_printed: integer?, print_time_ms: integer?, heatmap, heatmap_gif: text?,
    mechanical_version: text?, manufacture_date: time, manufacturer, display_name, lot_number,
    layer_count: integer, last_modified: time, inside_printer, write_count: integer, tank_type: text?,
    connected_group: uuid?, first_fill_date: time?, created_at: time?, last_print_date: time?`,
};

const TYPES: Readonly<Record<string, (value: unknown) => boolean>> = {
  anything: () => true,
  text: (value) => typeof value === 'string',
  integer: Number.isInteger,
  number: (value) => typeof value === 'number',
  flag: (value) => typeof value === 'boolean',
  time: (value) => /^\d{4}-\d\d-\d\dT[\d:.]+Z$/.test(String(value)),
  uuid: (value) => /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(String(value)),
  uri: (value) => URL.canParse(String(value)),
  email: (value) => /^\w+@example\.com$/.test(String(value)),
  object: (value) => Object(value) === value && !Array.isArray(value),
};

/** What is wrong with a value that should be of this type: nothing, if it has every field and no other. */
export function faults(value: unknown, type: string, path = type): string[] {
  const inner = type.slice(0, -1);
  if (/[?~]$/.test(type)) return value === null ? [] : faults(value, inner, path);
  if (type.endsWith('*')) return faults(value, Array.isArray(value) ? `${inner}[]` : inner, path);
  if (type.endsWith('[]')) {
    if (!Array.isArray(value)) return [`${path} is no list`];
    return value.flatMap((item, index) => faults(item, type.slice(0, -2), `${path}[${index}]`));
  }
  const model = MODELS[type];
  if (model?.includes('|')) {
    return model.split('|').some((name) => name.trim() === value) ? [] : [`${path} is no ${type}: ${value}`];
  }
  if (!TYPES[model ? 'object' : type]?.(value)) return [`${path} is no ${type}: ${JSON.stringify(value)}`];
  return model ? faultsOfFields(Object(value), model, path) : [];
}

function faultsOfFields(value: Readonly<Record<string, unknown>>, model: string, path: string): string[] {
  const fields = new Map<string, string | undefined>();
  for (const field of model.split(',')) {
    const [name = '', type] = field.trim().split(': ');
    fields.set(name, type);
  }
  const strays = Object.keys(value).filter((name) => !fields.has(name));
  return [
    ...strays.map((name) => `${path}.${name} is no field of the model`),
    ...[...fields].flatMap(([name, type = 'text']) =>
      name in value ? faults(value[name], type, `${path}.${name}`) : [`${path}.${name} is missing`],
    ),
  ];
}
