import assert from 'node:assert/strict'
import { FANOUT, NOWHERE, type Sequence } from '../../lib/state/sequence.js'

/** Checks every sum, link and place of a sequence and writes it down: visible characters plain, hidden ones in brackets. */
export function checkSequence (s: Sequence): string {
  const out: string[] = []
  assert.equal(s.parent[s.root], NOWHERE)
  let placed = 0
  const walk = (node: number): [number, number, number] => {
    const sums: [number, number, number] = [0, 0, 0]
    assert.ok(s.count[node] <= FANOUT)
    for (let at = node * FANOUT; at < node * FANOUT + s.count[node]; at++) {
      const below = s.level[node] === 0 ? run(node, at) : child(node, s.entry[at])
      below.forEach((value, i) => { sums[i] += value })
    }
    assert.deepEqual([s.total[node], s.visible[node], s.units[node]], sums)
    return sums
  }
  const child = (node: number, below: number): [number, number, number] => {
    assert.equal(s.parent[below], node)
    assert.equal(s.level[below], s.level[node] - 1)
    assert.ok(s.count[below] > 0)
    return walk(below)
  }
  const run = (leaf: number, at: number): [number, number, number] => {
    const n = Math.abs(s.size[at])
    assert.ok(n > 0)
    const scalars = Array.from(s.code.subarray(s.entry[at], s.entry[at] + n))
    const wide = scalars.filter((code) => code > 0xffff).length
    assert.equal(s.wide[at], wide)
    for (let slot = s.entry[at]; slot < s.entry[at] + n; slot++) assert.equal(s.leaf[slot], leaf)
    placed += n
    for (const code of scalars) out.push(s.size[at] > 0 ? String.fromCodePoint(code) : `[${String.fromCodePoint(code)}]`)
    return s.size[at] > 0 ? [n, n, n + wide] : [n, 0, 0]
  }
  walk(s.root)
  assert.equal(s.total[s.root], placed)
  return out.join('')
}
