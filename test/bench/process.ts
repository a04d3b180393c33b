import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

/** What a process of the bench can be asked to do. `stop` releases everything it holds. */
export type Commands = Record<string, (argument: never) => unknown> & { stop (): unknown }

export interface Remote<Known extends Commands> {
  ask<Name extends keyof Known & string> (name: Name, ...argument: Parameters<Known[Name]>): Promise<Awaited<ReturnType<Known[Name]>>>
  end (): Promise<void>
}

export type Role = 'server' | 'load' | 'engine' | 'client-doc'

interface Question { number: number, name: string, argument: unknown }
interface Answer { number: number, value?: unknown, error?: string }

/** Built files end in `.js`, those that tests run from source in `.ts`. */
const SUFFIX = import.meta.url.slice(-3)

/** The commands of a role, of this process. */
export async function commandsOf (role: string): Promise<Commands> {
  const { commands } = await import(`./${role}${SUFFIX}`) as { commands: () => Commands }
  return commands()
}

/** A process of its own; `node` are options of Node such as `--cpu-prof`. */
export function launch<Known extends Commands> (role: Role, node: readonly string[] = []): Remote<Known> {
  const path = fileURLToPath(new URL(`./child${SUFFIX}`, import.meta.url))
  const child = fork(path, [role], { serialization: 'advanced', execArgv: [...process.execArgv, ...node] })
  const waiting = new Map<number, { resolve (value: unknown): void, reject (reason: Error): void }>()
  let next = 1
  child.on('message', (message) => {
    const { number, value, error } = message as Answer
    const question = waiting.get(number)
    waiting.delete(number)
    if (error === undefined) question?.resolve(value)
    else question?.reject(new Error(`${role}: ${error}`))
  })
  child.on('exit', (code, signal) => {
    for (const { reject } of waiting.values()) reject(new Error(`the process ${role} ended: ${signal ?? code}`))
    waiting.clear()
  })
  const ask = (name: string, argument?: unknown): Promise<unknown> => new Promise((resolve, reject) => {
    if (!child.connected) return reject(new Error(`the process ${role} has ended`))
    waiting.set(next, { resolve, reject })
    child.send({ number: next++, name, argument } satisfies Question)
  })
  return {
    ask: ask as Remote<Known>['ask'],
    async end () {
      if (!child.connected) return
      await ask('stop')
      await ended(child)
    }
  }
}

async function ended (child: ChildProcess): Promise<void> {
  const exit = once(child, 'exit')
  child.disconnect()
  await exit
}

/** The same commands in this process: for the test, which has no time for processes. */
export async function attach<Known extends Commands> (role: Role): Promise<Remote<Known>> {
  const commands = await commandsOf(role) as Known
  return {
    ask: (async (name: keyof Known & string, argument: never) => await commands[name](argument)) as Remote<Known>['ask'],
    async end () { await commands.stop() }
  }
}

/** The other end: answers the parent's questions until it lets go. */
export function answer (commands: Commands): void {
  process.on('message', (message) => {
    const { number, name, argument } = message as Question
    Promise.resolve().then(() => commands[name](argument as never)).then(
      (value) => process.send?.({ number, value } satisfies Answer),
      (error: Error) => process.send?.({ number, error: error.stack ?? String(error) } satisfies Answer))
  })
  process.on('disconnect', () => process.exit())
}
