import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'
import ts from 'typescript'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))

/**
 * Translates the library and one script of the tests to JavaScript below `folder`, which lies in the project so that packages are
 * found. A process that runs it starts in a third of the time the test runner's loader takes.
 */
export function build (folder: string, script: string): string {
  const files = readdirSync(join(ROOT, 'lib'), { recursive: true }).map((name) => join('lib', String(name))).filter((name) => name.endsWith('.ts'))
  for (const file of [script, ...files]) {
    const options = { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2023, verbatimModuleSyntax: true }
    const { outputText } = ts.transpileModule(readFileSync(join(ROOT, file), 'utf8'), { compilerOptions: options })
    const to = join(folder, plain(file))
    mkdirSync(dirname(to), { recursive: true })
    writeFileSync(to, outputText)
  }
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }')
  return join(folder, plain(script))
}

function plain (file: string): string {
  return file.replace(/ts$/, 'js')
}

/** A process of its own that runs a server. */
export interface Running {
  readonly pid: number
  /** What the process printed on start. */
  readonly ready: Record<string, unknown>
  /** The process has ended. */
  readonly gone: boolean
  /** Sends a signal and resolves with how the process ended. */
  end (signal: NodeJS.Signals): Promise<{ code: number | null, signal: NodeJS.Signals | null }>
  /** Lines the process printed after the first. */
  readonly lines: readonly string[]
  /** Resolves when it printed a line for which `is` holds. */
  line (is: (line: string) => boolean): Promise<string>
}

type Child = ChildProcessByStdio<null, Readable, Readable>

/** Starts a built script and waits for its first line, which is JSON. It is killed when the test ends. */
export async function run (t: Test, script: string, args: readonly string[], nodeArgs: readonly string[] = []): Promise<Running> {
  const { NODE_OPTIONS: _, ...env } = process.env
  const child: Child = spawn(process.execPath, [...nodeArgs, script, ...args], { stdio: ['ignore', 'pipe', 'pipe'], env })
  t.teardown(() => child.kill('SIGKILL'))
  const lines: string[] = []
  const looks = new Set<() => void>()
  let errors = ''
  let gone: { code: number | null, signal: NodeJS.Signals | null } | null = null
  const changed = (): void => { for (const look of [...looks]) look() }
  createInterface(child.stdout).on('line', (line) => {
    lines.push(line)
    changed()
  })
  child.stderr.on('data', (text) => { errors += String(text) })
  child.on('close', (code, signal) => {
    gone = { code, signal }
    changed()
  })

  const until = <T>(look: () => T | undefined, mayEnd: boolean): Promise<T> => new Promise((resolve, reject) => {
    const again = (): void => {
      const value = look()
      if (value === undefined && (gone === null || mayEnd)) return
      looks.delete(again)
      if (value !== undefined) resolve(value)
      else reject(new Error(`the process ended with ${JSON.stringify(gone)}: ${lines.join('\n')} ${errors}`))
    }
    looks.add(again)
    again()
  })

  const first = await until(() => lines[0], false)
  return {
    pid: child.pid ?? 0,
    ready: JSON.parse(first) as Record<string, unknown>,
    get gone () { return gone !== null },
    lines,
    async end (signal) {
      child.kill(signal)
      return until(() => gone ?? undefined, true)
    },
    line: (is) => until(() => lines.slice(1).find(is), false)
  }
}
