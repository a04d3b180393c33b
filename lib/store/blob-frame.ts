import { Decompress } from 'fzstd'
import { bytesAt, concat } from '../protocol/bytes.js'

/** The bytes are not one complete, standard zstd frame of acceptable size. Says nothing about the disk they came from. */
export class FrameError extends Error {
  override readonly name = 'FrameError'
}

const MAGIC = Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd)
/** The largest block the format allows, in bytes; also what one step of decoding may yield. */
const BLOCK_LIMIT = 128 * 1024
/**
 * The largest window, in bytes: what level 22 uses and the default bound of the standard decoder. The usual level 3 needs 2 MiB;
 * above 8 MiB decoding becomes slow, because the whole window moves with every block.
 */
const WINDOW_LIMIT = 128 * 1024 * 1024

/** Hands out exactly as many bytes as asked for, whatever the chunks of `source` are. */
function createIntake (source: AsyncIterator<Uint8Array>): { take (length: number): Promise<Uint8Array>, ended (): Promise<boolean> } {
  let rest: Uint8Array = new Uint8Array(0)
  async function more (): Promise<boolean> {
    const next = await source.next()
    if (next.done === true) return false
    rest = rest.length === 0 ? next.value : concat([rest, next.value])
    return true
  }
  return {
    async take (length) {
      while (rest.length < length) if (!await more()) throw new FrameError('the frame is cut off')
      const taken = rest.subarray(0, length)
      rest = rest.subarray(length)
      return taken
    },
    async ended () {
      while (rest.length === 0) if (!await more()) return true
      return false
    }
  }
}

/** The window a frame header asks for, in bytes, before anything of that size is allocated. `fields` follow the descriptor byte. */
function windowOf (single: boolean, sizeBytes: number, fields: Uint8Array): number {
  if (!single) {
    const base = 2 ** (10 + (fields[0] >> 3))
    return base + base / 8 * (fields[0] & 7)
  }
  let size = sizeBytes === 2 ? 256 : 0
  for (let i = 0; i < sizeBytes; i++) size += fields[i] * 2 ** (8 * i)
  return size
}

/** Reads magic and frame header and refuses what cannot be decoded: other formats, dictionaries, huge windows. */
async function readHeader (take: (length: number) => Promise<Uint8Array>): Promise<{ header: Uint8Array, checksum: boolean }> {
  const start = await take(5)
  if (!bytesAt(start, 0, MAGIC)) throw new FrameError('not a zstd frame')
  const descriptor = start[4]
  if ((descriptor & 0b1011) !== 0) throw new FrameError('the frame uses a dictionary or a reserved bit')
  const single = (descriptor & 0b100000) !== 0
  const sizeFlag = descriptor >> 6
  const sizeBytes = sizeFlag === 0 ? Number(single) : 1 << sizeFlag
  const fields = await take(Number(!single) + sizeBytes)
  if (windowOf(single, sizeBytes, fields) > WINDOW_LIMIT) throw new FrameError('the window of the frame is too large')
  return { header: concat([start, fields]), checksum: (descriptor & 0b100) !== 0 }
}

async function readBlock (take: (length: number) => Promise<Uint8Array>): Promise<{ block: Uint8Array, last: boolean }> {
  const head = await take(3)
  const word = head[0] | head[1] << 8 | head[2] << 16
  const size = word >> 3
  const kind = word >> 1 & 3
  if (kind === 3 || size > BLOCK_LIMIT) throw new FrameError('the frame holds an invalid block')
  return { block: concat([head, await take(kind === 1 ? 1 : size)]), last: (word & 1) !== 0 }
}

/**
 * Decodes one zstd frame, block by block: at most 128 KiB and one window are held, and nothing is decoded before it is asked for.
 * Frames with or without content size and checksum and the empty frame are read; anything that follows the frame makes it invalid.
 * Throws `FrameError`, also when more than `maxBytes` would come out (spec/storage-and-operations.md §2.4).
 */
export async function * inflate (frame: AsyncIterable<Uint8Array>, maxBytes: number): AsyncGenerator<Uint8Array> {
  const source = frame[Symbol.asyncIterator]()
  try {
    const intake = createIntake(source)
    const decoded: Uint8Array[] = []
    const decoder = new Decompress((chunk) => { decoded.push(chunk) })
    const { header, checksum } = await readHeader(intake.take)
    decode(decoder, header, false)
    let size = 0
    for (let last = false; !last;) {
      const next = await readBlock(intake.take)
      last = next.last
      decode(decoder, next.block, false)
      if (last) decode(decoder, await intake.take(checksum ? 4 : 0), true)
      if (last && !await intake.ended()) throw new FrameError('bytes follow the frame')
      for (const chunk of decoded.splice(0)) {
        size += chunk.length
        if (size > maxBytes) throw new FrameError('the content is larger than the limit')
        if (chunk.length > 0) yield chunk
      }
    }
  } finally {
    await source.return?.()
  }
}

function decode (decoder: Decompress, bytes: Uint8Array, final: boolean): void {
  try {
    decoder.push(bytes, final)
  } catch (cause) {
    throw new FrameError('the frame cannot be decoded', { cause })
  }
}
