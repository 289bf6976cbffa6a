// The time that each thread of the service spends, and in which library: with Linux' perf.
import { output } from './children.mjs'

const PER_SECOND = 999
/** Shares below this are added up, in percent. */
const LEAST = 0.5

/** `[{ thread, library, share }]`, the largest first; shares of the process's time. */
export async function threadShares(pid, seconds, file) {
  const record = ['record', '-q', '-F', String(PER_SECOND), '-p', String(pid), '-o', file, '--', 'sleep', String(seconds)]
  await output('perf', record, (seconds + 30) * 1000)
  const report = await output('perf', ['report', '-q', '--stdio', '-i', file, '--sort', 'comm,dso'])
  const rows = report.split('\n').flatMap((line) => {
    const [, percent, thread, library] = /^\s*([\d.]+)%\s+(\S+)\s+(.+?)\s*$/.exec(line) ?? []
    return percent === undefined ? [] : [{ thread, library: nameOf(library), share: Number(percent) / 100 }]
  })
  const large = rows.filter(({ share }) => share * 100 >= LEAST)
  const rest = rows.filter(({ share }) => share * 100 < LEAST).reduce((sum, { share }) => sum + share, 0)
  return [...large, { thread: 'all others', library: '', share: rest }]
}

function nameOf(library) {
  if (library.startsWith('[JIT]')) return 'compiled JavaScript'
  if (library === '[kernel.kallsyms]') return 'kernel'
  return library.startsWith('trust-engine') ? 'the engine' : library
}
