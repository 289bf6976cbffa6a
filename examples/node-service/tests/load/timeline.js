// Which part of a run a moment belongs to. Users tag their requests with it, so that one run without a break, on the same
// connections, gives figures for each part: the warm-up is told apart from what counts, and a spike from what follows it.
import exec from 'k6/execution'

// As long as the document gives a service to recover.
const RECOVERY_SECONDS = 30

/** Parts of what is measured, as [seconds from its beginning, name]. */
export function parts(seconds, burst) {
  if (!burst) return [[0, 'steady']]
  const drop = burst.to * seconds
  const recovery = Math.min(RECOVERY_SECONDS, Math.floor(seconds - drop))
  return [
    [0, 'baseline'],
    [burst.from * seconds, 'burst'],
    ...Array.from({ length: recovery }, (_, second) => [drop + second, `second ${second + 1}`]),
    [drop + recovery, 'after'],
  ]
}

/** Makes a function that tags what this user sends from now on and returns when that ends; both in milliseconds of the run. */
export function tagger({ warmup, seconds, parts }) {
  const marks = [
    { from: 0, phase: 'warmup', part: 'warmup' },
    ...parts.map(([from, part]) => ({ from: (warmup + from) * 1000, phase: 'measured', part })),
    // Users that are a few milliseconds late would be counted without the time that they took.
    { from: (warmup + seconds) * 1000, phase: 'late', part: 'late' },
    { from: Infinity },
  ]
  return (now) => {
    const next = marks.findIndex(({ from }) => from > now)
    const { phase, part } = marks[Math.max(0, next - 1)]
    exec.vu.metrics.tags.phase = phase
    exec.vu.metrics.tags.part = part
    return marks[next].from
  }
}
