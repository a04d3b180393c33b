/**
 * Time taken by eight times the input over time taken by the input, in processor time of this process, so that a busy machine does not
 * matter much. About 8 for linear work, 64 for quadratic.
 */
export function growth (run: (size: number) => void, size: number): number {
  const cost = (size: number) => Math.min(...Array.from({ length: 7 }, () => {
    const start = process.cpuUsage()
    run(size)
    const { user, system } = process.cpuUsage(start)
    return user + system
  }))
  cost(size)
  // Below 200 µs the clock and the compiler weigh more than the work.
  return cost(8 * size) / Math.max(cost(size), 200)
}
