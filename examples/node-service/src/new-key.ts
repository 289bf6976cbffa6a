// Makes an API key: prints it, this once, and the entry that lets it in.
import { parseArgs } from 'node:util'

import { entryOf, newSecret, parseKeys, PERMISSIONS } from './keys.js'

const USAGE = `usage: npm run new-key -- --name NAME [--organization ORGANIZATION] --permissions PERMISSION,PERMISSION,…
permissions: ${PERMISSIONS.join(', ')}`

try {
  const { values } = parseArgs({
    options: {
      name: { type: 'string' },
      organization: { type: 'string', default: 'default' },
      permissions: { type: 'string', default: '' },
    },
  })
  const secret = newSecret()
  const permissions = values.permissions.split(',').map((permission) => permission.trim())
  const entry = entryOf(secret, values.name ?? '', values.organization, permissions)
  const mistakes: string[] = []
  parseKeys(JSON.stringify([entry]), mistakes)
  if (mistakes.length > 0) throw new Error(mistakes.map((mistake) => mistake.replace('entry 1: ', '')).join('\n'))

  process.stdout.write(`The key, shown only now:\n\n  ${secret}\n\n`)
  process.stdout.write(`Its entry, for the list in the file that API_KEYS_FILE names:\n\n${JSON.stringify(entry, null, 2)}\n`)
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n${USAGE}\n`)
  process.exit(2)
}
