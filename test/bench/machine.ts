import { execFileSync } from 'node:child_process'
import { cpus, loadavg, totalmem } from 'node:os'

export interface Machine { cpu: string, cores: number, memory: string, node: string, commit: string, load: string, date: string }

/** What the figures were measured on. */
export function describeMachine (): Machine {
  const processors = cpus()
  return {
    cpu: processors[0]?.model ?? 'unknown',
    cores: processors.length,
    memory: `${Math.round(totalmem() / 2 ** 30)} GiB`,
    node: process.version,
    commit: commit(),
    load: loadavg()[0].toFixed(2),
    date: new Date().toISOString()
  }
}

function commit (): string {
  const git = (...args: string[]): string => execFileSync('git', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim()
  try {
    return git('rev-parse', '--short', 'HEAD') + (git('status', '--porcelain', '--', 'lib') === '' ? '' : ' (changed)')
  } catch {
    return 'unknown'
  }
}
