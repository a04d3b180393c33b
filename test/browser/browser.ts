import { existsSync } from 'node:fs'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { resolve } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { type Browser, type BrowserContext, type Page, chromium } from 'playwright-core'

const ROOT = resolve(import.meta.dirname, '../..')
const EXECUTABLE = process.env.CHROMIUM ?? '/usr/bin/chromium'
const ARGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync']

/** Why the tests of this folder cannot run here, or false. */
export const noBrowser = existsSync(EXECUTABLE) ? false : `there is no browser at ${EXECUTABLE}; CHROMIUM names another`

/** A browser with a profile of its own, thrown away when it is closed. */
export const launch = (): Promise<Browser> => chromium.launch({ executablePath: EXECUTABLE, args: ARGS })

/** The example's server as a user starts it. It can be stopped and started again on the same port, with the same data. */
export interface Example { readonly url: string, start (): Promise<void>, stop (): Promise<void> }

export function example (data: string): Example {
  let child: ChildProcess | null = null
  let url = ''
  return {
    get url () { return url },
    async start () {
      const port = url === '' ? '0' : new URL(url).port
      const env = { ...process.env, NODE_OPTIONS: '', NODE_V8_COVERAGE: '', TAP: '', PORT: port, DATA: data }
      child = spawn(process.execPath, ['examples/editor/server.js'], { cwd: ROOT, env, stdio: ['ignore', 'pipe', 'inherit'] })
      for await (const chunk of child.stdout ?? []) {
        const [, found] = /at (http:\S+)/.exec(String(chunk)) ?? []
        // A worker and storage need a trustworthy origin, which the loopback address is.
        if (found !== undefined) url = found
        if (found !== undefined) return
      }
      throw new Error('the example ended before it listened')
    },
    async stop () {
      if (child === null || child.exitCode !== null) return
      const ended = once(child, 'exit')
      child.kill('SIGKILL')
      await ended
    }
  }
}

/** A tab with a note open. `faults` are what the page reported: exceptions, refused policies, failed requests to elsewhere. */
export interface Tab {
  readonly page: Page
  readonly faults: string[]
  text (): Promise<string>
  /** Types at the end of the note. */
  type (text: string, delay?: number): Promise<void>
  shows (text: string): Promise<void>
  /** Waits until a step of the three says this. */
  step (name: 'device' | 'server' | 'people', text: RegExp | string): Promise<void>
  goOffline (): Promise<void>
  goOnline (): Promise<void>
}

/** What an editor shows, line by line; names of carets are generated content and not in it. */
export const TEXT = "[...document.querySelectorAll('.cm-content > .cm-line:not(:has(.cm-placeholder))')].map((line) => line.textContent).join('\\n')"

/** Opens the note at `url`, or, with `load: false`, an empty tab that may go there. */
export async function openTab (context: BrowserContext, url: string, { load = true } = {}): Promise<Tab> {
  const page = await context.newPage()
  const faults: string[] = []
  const { origin } = new URL(url)
  page.on('pageerror', (error) => faults.push(String(error)))
  page.on('console', (message) => { if (message.type() === 'error' && !/ERR_CONNECTION_REFUSED|ERR_INTERNET_DISCONNECTED/.test(message.text())) faults.push(message.text()) })
  page.on('request', (request) => { if (!request.url().startsWith(origin) && !request.url().startsWith('blob:')) faults.push(request.url()) })
  if (load) {
    await page.goto(url)
    await opened(page)
  }
  const until = (expression: string): Promise<void> => waitFor(page, expression)
  return {
    page,
    faults,
    text: () => page.evaluate(TEXT),
    async type (text, delay = 0) {
      await page.click('.cm-content')
      await page.keyboard.press('Control+End')
      await page.keyboard.type(text, { delay })
    },
    shows: (text) => until(`${TEXT}.includes(${JSON.stringify(text)})`),
    step: (name, text) => until(`${text instanceof RegExp ? String(text) : `new RegExp(${JSON.stringify(text)})`}.test(document.querySelector('#step-${name} .step-text').textContent)`),
    async goOffline () {
      await page.click('#online')
      await until("document.querySelector('#step-server .step-text').textContent.startsWith('Offline')")
    },
    async goOnline () { await page.click('#online') }
  }
}

export async function opened (page: Page): Promise<void> {
  await waitFor(page, "document.documentElement.dataset.ready === 'true'")
}

/** Waits until an expression is true in a page. From outside, because the page's policy lets nothing in it evaluate text. */
export async function waitFor (page: Page, expression: string, within = 15_000): Promise<void> {
  const end = Date.now() + within
  while (await page.evaluate(`Boolean(${expression})`) !== true) {
    if (Date.now() > end) throw new Error(`the page has not come to: ${expression}; it shows ${await page.evaluate('document.body.innerText')}`)
    await setTimeout(20)
  }
}

interface TraceEvent { name: string, ph: string, pid: number, tid: number, ts: number, dur?: number, tdur?: number, args: { name?: string } }

/**
 * The longest task of the page's main thread while `run` runs, in milliseconds of that thread's own time: other programs on the
 * machine do not count. Loading the page's scripts is left out.
 */
export async function longestTask (browser: Browser, page: Page, run: () => Promise<void>): Promise<number> {
  await browser.startTracing(page, { categories: ['toplevel', 'devtools.timeline', 'v8.execute'] })
  await run()
  const { traceEvents }: { traceEvents: TraceEvent[] } = JSON.parse((await browser.stopTracing()).toString())
  const threadOf = ({ pid, tid }: TraceEvent): string => `${pid}/${tid}`
  const main = new Set(traceEvents.filter(({ name, args }) => name === 'thread_name' && args.name === 'CrRendererMain').map(threadOf))
  const events = traceEvents.filter((event) => event.ph === 'X' && main.has(threadOf(event)))
  const loads = events.filter(({ name }) => name === 'v8.evaluateModule')
  const holds = (task: TraceEvent, { ts }: TraceEvent): boolean => ts >= task.ts && ts <= task.ts + (task.dur ?? 0)
  const tasks = events.filter((event) => event.name.endsWith('RunTask') && !loads.some((load) => threadOf(load) === threadOf(event) && holds(event, load)))
  if (tasks.length === 0) throw new Error('the trace has no tasks')
  return Math.max(...tasks.map(({ tdur = 0 }) => tdur)) / 1000
}
