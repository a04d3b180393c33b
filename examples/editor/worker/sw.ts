export {}

declare const self: ServiceWorkerGlobalScope
/** Written in when the page is bundled: the version of this bundle and what belongs to it. */
declare const VERSION: string
declare const FILES: readonly string[]

const CACHE = `confluent-${VERSION}`
/** A network that takes longer than this to answer is treated as none. */
const PATIENCE_MS = 3000

self.addEventListener('install', (event) => {
  event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll(FILES)).then(() => self.skipWaiting()))
})

self.addEventListener('activate', (event) => {
  event.waitUntil(clearOld().then(() => self.clients.claim()))
})

async function clearOld (): Promise<void> {
  const names = await caches.keys()
  await Promise.all(names.filter((name) => name !== CACHE).map((name) => caches.delete(name)))
}

self.addEventListener('fetch', (event) => {
  const { request } = event
  const { origin, pathname } = new URL(request.url)
  if (request.method !== 'GET' || origin !== self.location.origin) return
  if (request.mode === 'navigate') event.respondWith(page(request))
  else if (FILES.includes(pathname)) event.respondWith(kept(pathname, request))
})

/** Every note is the same page: the newest where there is a network, the kept one where there is none. */
async function page (request: Request): Promise<Response> {
  try {
    return await fetch(request, { signal: AbortSignal.timeout(PATIENCE_MS) })
  } catch {
    return await kept('/', request)
  }
}

async function kept (path: string, request: Request): Promise<Response> {
  return await caches.match(path) ?? await fetch(request)
}
