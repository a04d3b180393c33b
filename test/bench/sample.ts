/** What was measured several times. */
export interface Sample { median: number, min: number, max: number, runs: number }

export function sampleOf (values: readonly number[]): Sample {
  const sorted = Float64Array.from(values).sort()
  return { median: at(sorted, 0.5), min: sorted[0], max: sorted[sorted.length - 1], runs: sorted.length }
}

/** The value below which a share of the sorted values lies. */
export function at (sorted: Float64Array, share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]
}

/** One line of the result: a figure of ours and, where there is one, of the rival in the same run. */
export interface Row {
  scenario: string
  what: string
  unit: string
  ours: Sample
  plain: Sample | null
  target: Target | null
}

export interface Target { text: string, met: boolean }

export type Aim = (ours: Sample, plain: Sample | null) => Target

const number = (value: number): string => value.toLocaleString('en-US', { maximumFractionDigits: value < 10 ? 2 : value < 100 ? 1 : 0 })

export const atLeast = (value: number): Aim => (ours) => ({ text: `>= ${number(value)}`, met: ours.median >= value })

export const atMost = (value: number): Aim => (ours) => ({ text: `<= ${number(value)}`, met: ours.median <= value })

/** Ours divided by plain ws. */
export const timesAtLeast = (value: number): Aim => (ours, plain) =>
  ({ text: `>= ${value} x plain`, met: plain !== null && ours.median >= value * plain.median })

export const timesAtMost = (value: number): Aim => (ours, plain) =>
  ({ text: `<= ${value} x plain`, met: plain !== null && ours.median <= value * plain.median })

export interface Figures { ours: readonly number[], plain?: readonly number[], aim?: Aim | undefined }

export function rowOf (scenario: string, what: string, unit: string, { ours, plain, aim }: Figures): Row {
  const own = sampleOf(ours)
  const rival = plain === undefined ? null : sampleOf(plain)
  return { scenario, what, unit, ours: own, plain: rival, target: aim?.(own, rival) ?? null }
}

const spread = (sample: Sample): string =>
  sample.runs === 1 ? number(sample.median) : `${number(sample.median)} (${number(sample.min)}-${number(sample.max)})`

function cells ({ what, unit, ours, plain, target }: Row): string[] {
  return [
    what,
    unit,
    spread(ours),
    plain === null ? '' : spread(plain),
    plain === null || plain.median === 0 ? '' : `${number(ours.median / plain.median)} x`,
    target === null ? '' : `${target.text}: ${target.met ? 'met' : 'MISSED'}`
  ]
}

const TITLES = ['', 'unit', 'nodalmerge', 'plain ws', 'ratio', 'target']

/** The rows as a plain table, scenario by scenario. */
export function table (rows: readonly Row[]): string {
  const body = rows.map((row) => ({ row, line: cells(row) }))
  const widths = TITLES.map((title, i) => Math.max(title.length, ...body.map(({ line }) => line[i].length)))
  const join = (line: readonly string[]): string => line.map((cell, i) => i < 2 ? cell.padEnd(widths[i]) : cell.padStart(widths[i])).join('  ').trimEnd()
  const lines: string[] = []
  for (const [i, { row, line }] of body.entries()) {
    if (i === 0 || body[i - 1].row.scenario !== row.scenario) lines.push('', row.scenario, join(TITLES))
    lines.push(join(line))
  }
  return lines.join('\n')
}
