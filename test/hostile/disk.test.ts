import t, { type Test } from 'tap'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, rmdirSync, statfsSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { memoryBlobs, memoryNodes } from '../../lib/index.js'
import { faultyNodeStore } from '../../lib/testing/faulty-node-store.js'
import { host, packOf, peer, set } from '../plugin/host.js'

/** A small file system of its own, or null where none can be mounted. */
function smallDisk (t: Test, megabytes: number): { folder: string, fill (): void, free (): void } | null {
  const folder = mkdtempSync(join(tmpdir(), 'nodalmerge-disk-'))
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m`, 'tmpfs', folder], { stdio: 'pipe' })
  } catch (error) {
    rmdirSync(folder)
    t.comment(`no file system of its own: ${String(error)}`)
    return null
  }
  t.teardown(() => {
    execFileSync('umount', ['-l', folder])
    rmdirSync(folder)
  })
  const filler = join(folder, 'filler')
  return {
    folder,
    fill () {
      const { bavail, bsize } = statfsSync(folder)
      writeFileSync(filler, Buffer.alloc(bavail * bsize))
    },
    free: () => rmSync(filler)
  }
}

t.test('HO-60 on a full disk nothing acknowledged is lost, the clients are told to try again, and with space it goes on', async (t) => {
  const disk = smallDisk(t, 24)
  const faulty = faultyNodeStore(memoryNodes())
  const server = await host(t, disk === null ? { nodes: faulty, blobs: memoryBlobs() } : { data: disk.folder })
  const [writer, reader] = [server.join('plans', peer(1)), server.join('plans', peer(2))]
  await Promise.all([writer.synced(), reader.synced()])
  for (let i = 0; i < 100; i++) writer.write(set(`before ${i}`, 'x'.repeat(1_000)))
  await writer.synced()
  await reader.until(() => reader.peer.size === 100)

  if (disk === null) faulty.faults.fail('append', { times: 60 })
  else disk.fill()
  const during = writer.next('error')
  for (let i = 0; i < 50; i++) writer.write(set(`during ${i}`, 'y'.repeat(5_000)))
  t.match(await during, { code: 'reject.store_unavailable', retry: true })
  const told = (): number => writer.frames.filter(({ type }) => type === 'error').length
  const answered = (): number => told() + writer.frames.filter(({ type }) => type === 'pack-ack').length - 100
  await writer.until(() => answered() >= 50, 'an answer to every pack')
  t.equal(writer.state, 'live', 'the session goes on')
  // What stands on a node that was not kept waits for it as an orphan.
  t.same([...writer.refused.values()].filter((code) => code !== 'reject.missing_parent'), [])
  const kept = 150 - writer.unacknowledged - writer.refused.size
  t.ok(writer.unacknowledged > 0)
  t.comment(`of 50, ${writer.unacknowledged} were not acknowledged and ${writer.refused.size} waited`)
  const late = server.join('plans', peer(3))
  await late.synced()
  t.equal(late.peer.size, kept, 'who joins meanwhile gets what is durable and nothing else')
  t.equal((await server.app.nodalmerge.room('plans').open()).nodes, kept)
  if (disk !== null) {
    const blob = server.raw()
    await blob.hello()
    blob.send({ type: 'blob-upload', blobs: [{ hash: '0'.repeat(64), data: Buffer.alloc(100_000).toString('base64') }] })
    t.match(await blob.next('error'), { code: /^reject\.blob_/ })
  }

  if (disk === null) await exhaust(faulty)
  else disk.free()
  for (let attempt = 0; attempt < 10 && writer.unacknowledged > 0; attempt++) {
    const before = answered()
    writer.resend()
    await writer.until(() => answered() > before && (writer.unacknowledged === 0 || told() > before), 'an answer').catch(() => {})
  }
  t.equal(writer.unacknowledged, 0, 'everything is taken without a restart')
  await reader.until(() => reader.peer.size === 150, 'all that was refused first')
  const root = (await server.app.nodalmerge.room('plans').open()).root
  t.equal(root, writer.peer.root)
  if (disk === null) return

  await server.app.close()
  const again = await host(t, { data: disk.folder })
  t.match(await again.app.nodalmerge.room('plans').open(), { nodes: 150, root })
  await again.app.close()
})

/** Lets no further append fail: the failures that were queued are used up. */
async function exhaust (store: ReturnType<typeof faultyNodeStore>): Promise<void> {
  for (;;) {
    try {
      await store.append([])
      return
    } catch {}
  }
}

t.test('HO-61 when the disk fills while a room is locked, the room stays as it was and the host is told', async (t) => {
  const disk = smallDisk(t, 16)
  const faulty = faultyNodeStore(memoryNodes())
  const server = await host(t, disk === null ? { nodes: faulty, blobs: memoryBlobs() } : { data: disk.folder })
  const room = server.app.nodalmerge.room('plans')
  await room.append(set('a'))
  if (disk === null) faulty.faults.fail('putState')
  else disk.fill()
  const policy = { rules: Array.from({ length: 500 }, (_, i) => ({ path: `path/${i}/**`, write: [peer(1).publicKey] })), default: 'deny' as const }
  await t.rejects(room.setPolicy(policy), { code: 'reject.store_unavailable' })
  t.match(await room.rights(), { timeline: { length: 1 } })
  const client = server.raw()
  await client.hello()
  disk?.free()
  const writer = peer(4)
  client.send(packOf(writer.pack([writer.write(set('b'))])))
  t.match(await client.until(() => client.frames.find(({ type, code }) => type === 'pack-ack' || code === 'reject.store_unavailable'), 'an answer'), {})
  await room.setPolicy(policy)
  t.match(await room.rights(), { timeline: { length: 2 } })
  await server.app.close()
})
