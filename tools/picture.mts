import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { ACTION_DIR } from '../mock/runner.mts';

/**
 * `npm run picture`: runs `npm start` and makes docs/job-log.svg from what it prints, line by line. Two
 * pictures differ in what the runs themselves printed only: the port and the time.
 */
const TARGET = join(ACTION_DIR, 'docs', 'job-log.svg');

const FONT_SIZE = 13;
/** Of one character: a little more than the widest of the usual monospace fonts has (0.602 em). */
const CHARACTER_WIDTH = FONT_SIZE * 0.61;
const LINE_HEIGHT = 20;
/** A line without text sets paragraphs apart, and needs no more room than that. */
const GAP_HEIGHT = 12;
const PADDING = 20;
const BAR_HEIGHT = 38;

const STYLE = `
    text {
      font: ${FONT_SIZE}px ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace;
      white-space: pre; fill: #1f2328;
    }
    .frame { fill: #ffffff; stroke: #d1d9e0; }
    .bar { fill: #f6f8fa; }
    .edge { stroke: #d1d9e0; }
    .done { fill: #1a7f37; }
    .tick { fill: none; stroke: #ffffff; stroke-width: 1.8; stroke-linecap: round; stroke-linejoin: round; }
    .heading { font-weight: 700; }
    .mask { font-weight: 700; fill: #9a6700; }
    @media (prefers-color-scheme: dark) {
      text { fill: #e6edf3; }
      .frame { fill: #0d1117; stroke: #3d444d; }
      .bar { fill: #151b23; }
      .edge { stroke: #3d444d; }
      .done { fill: #3fb950; }
      .tick { stroke: #0d1117; }
      .mask { fill: #e3b341; }
    }`;

/** @throws Error if the job did not hold: there is no picture of that */
function runStart(): string[] {
  // Neither colours nor the real Dashboard belong in the picture.
  const env = {
    ...process.env,
    NO_COLOR: '1',
    FORCE_COLOR: undefined,
    FORMLABS_CLIENT_ID: undefined,
  };
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(ACTION_DIR, 'mock', 'start.mts')], {
    env,
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(`npm start failed (${status}):\n${stdout}${stderr}`);
  return stdout.trim().split('\n');
}

function draw(lines: readonly string[]): string {
  const longest = Math.max(...lines.map((line) => line.length));
  const width = Math.ceil(longest * CHARACTER_WIDTH) + 2 * PADDING;
  const texts: string[] = [];
  let baseline = BAR_HEIGHT + PADDING + FONT_SIZE;
  for (const line of lines) {
    if (line !== '') texts.push(drawLine(line, baseline));
    baseline += line === '' ? GAP_HEIGHT : LINE_HEIGHT;
  }
  const height = baseline - LINE_HEIGHT + PADDING;

  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}"
  role="img" aria-labelledby="title desc">
  <title id="title">The output of npm start</title>
  <desc id="desc">The main step gets a token, a later step lists printers with it, the post step revokes it. In the
    log the token is three asterisks.</desc>
  <style>${STYLE}
  </style>
  <rect class="frame" x="0.5" y="0.5" width="${width - 1}" height="${height - 1}" rx="8"/>
  <path class="bar" d="M1 ${BAR_HEIGHT}V8.5a7.5 7.5 0 0 1 7.5-7.5H${width - 8.5}a7.5 7.5 0 0 1 7.5 7.5V${BAR_HEIGHT}Z"/>
  <path class="edge" d="M1 ${BAR_HEIGHT + 0.5}H${width - 1}"/>
  <circle class="done" cx="${PADDING + 7}" cy="${BAR_HEIGHT / 2 + 0.5}" r="8"/>
  <path class="tick" d="M${PADDING + 3.5} ${BAR_HEIGHT / 2 + 0.8}l2.5 2.5 4.7-5"/>
  <text class="heading" x="${PADDING + 24}" y="${BAR_HEIGHT / 2 + 5}">npm start</text>
${texts.join('\n')}
</svg>
`;
}

function drawLine(line: string, baseline: number): string {
  const heading = line.startsWith('▸') ? ' class="heading"' : '';
  const text = escapeXml(line).replaceAll('***', '<tspan class="mask">***</tspan>');
  return `  <text${heading} x="${PADDING}" y="${baseline}" xml:space="preserve">${text}</text>`;
}

function escapeXml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}

try {
  const picture = draw(runStart());
  mkdirSync(dirname(TARGET), { recursive: true });
  writeFileSync(TARGET, picture);
  console.log(`Wrote ${relative(ACTION_DIR, TARGET)}`);
} catch (error) {
  console.error(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
}
