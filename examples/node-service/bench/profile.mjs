// Where a service spends its time: functions with the most self time in its .cpuprofile. Also by itself: node profile.mjs FILE
import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const TOP = 25

/** The one profile in a folder. */
export function topOfFolder(folder) {
  const [file] = readdirSync(folder).filter((name) => name.endsWith('.cpuprofile'))
  if (!file) throw new Error('there is no profile: the service did not end by itself')
  return topFunctions(JSON.parse(readFileSync(`${folder}/${file}`, 'utf8')))
}

/** Lines of text: share of the time that was not idle, milliseconds, function. */
export function topFunctions({ nodes, samples, timeDeltas }) {
  const names = new Map(nodes.map(({ id, callFrame }) => [id, nameOf(callFrame)]))
  const micros = new Map()
  samples.forEach((id, index) => {
    const name = names.get(id)
    micros.set(name, (micros.get(name) ?? 0) + timeDeltas[index])
  })
  micros.delete('(idle)')
  const busy = [...micros.values()].reduce((sum, value) => sum + value, 0)
  const sorted = [...micros].sort(([, a], [, b]) => b - a).slice(0, TOP)
  return sorted.map(([name, value]) => {
    const share = `${((100 * value) / busy).toFixed(1)} %`
    return `${share.padStart(7)} ${(value / 1000).toFixed(0).padStart(7)} ms  ${name}`
  })
}

/** With its place, shortened to what tells files apart. */
function nameOf({ functionName, url, lineNumber }) {
  const name = functionName || '(anonymous)'
  if (!url) return name
  const file = url.replace(/^file:\/\//, '').split('/node_modules/').at(-1).split('/').slice(-3).join('/')
  return `${name}  ${file}:${lineNumber + 1}`
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  console.log(topFunctions(JSON.parse(readFileSync(process.argv[2], 'utf8'))).join('\n'))
}
