// Packs what is published: `node pack.mjs FOLDER` writes two tarballs into the folder, the package and the native half for this
// platform, which the package names as an optional dependency beside those for the others. Run `npm run build` before.
import { execFileSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'

const here = import.meta.dirname ?? new URL('.', import.meta.url).pathname
const into = resolve(process.argv[2] ?? '.')
const { scripts, devDependencies, napi, files, ...shared } = JSON.parse(readFileSync(join(here, 'package.json'), 'utf8'))

/** Rust's names of platforms as Node has them. */
const PLATFORMS = {
  'x86_64-unknown-linux-gnu': { name: 'linux-x64-gnu', os: ['linux'], cpu: ['x64'], libc: ['glibc'] },
  'aarch64-unknown-linux-gnu': { name: 'linux-arm64-gnu', os: ['linux'], cpu: ['arm64'], libc: ['glibc'] },
  'x86_64-apple-darwin': { name: 'darwin-x64', os: ['darwin'], cpu: ['x64'] },
  'aarch64-apple-darwin': { name: 'darwin-arm64', os: ['darwin'], cpu: ['arm64'] },
  'x86_64-pc-windows-msvc': { name: 'win32-x64-msvc', os: ['win32'], cpu: ['x64'] },
}
const platforms = napi.targets.map((target) => {
  if (!PLATFORMS[target]) throw new Error(`pack.mjs does not know the platform ${target}`)
  return PLATFORMS[target]
})

const LICENCES = ['LICENSE-APACHE', 'LICENSE-MIT']

/** Packs a folder that holds these files and this manifest. */
function pack(manifest, names) {
  const folder = mkdtempSync(join(tmpdir(), 'trust-engine-pack-'))
  for (const name of names) cpSync(join(here, name), join(folder, name))
  for (const licence of LICENCES) cpSync(join(here, '..', licence), join(folder, licence))
  writeFileSync(join(folder, 'package.json'), JSON.stringify(manifest, null, 2) + '\n')
  const [{ filename }] = JSON.parse(execFileSync('npm', ['pack', '--json', '--pack-destination', into], { cwd: folder, encoding: 'utf8' }))
  rmSync(folder, { recursive: true })
  console.log(join(into, filename))
}

mkdirSync(into, { recursive: true })
const built = readdirSync(here).filter((name) => name.endsWith('.node'))
if (built.length !== 1) throw new Error(`there are ${built.length} native halves beside pack.mjs; npm run build makes the one that is packed`)
const [native] = built
const platform = platforms.find(({ name }) => native === `trust-engine.${name}.node`)
if (!platform) throw new Error(`${native} is for no platform of package.json`)

const { name: _, ...fits } = platform
const { version, license, repository, engines } = shared
const description = `The native half of trust-engine for ${platform.name}`
pack({ name: `trust-engine-${platform.name}`, version, description, license, repository, engines, ...fits, main: native, files: [native, ...LICENCES] }, [native])

const optionalDependencies = Object.fromEntries(platforms.map(({ name }) => [`trust-engine-${name}`, version]))
const sources = readdirSync(here).filter((name) => /\.(cjs|d\.ts|d\.cts)$|^index\.js$|^README\.md$/.test(name) && name !== 'native.d.ts')
pack({ ...shared, files: [...sources, ...LICENCES], optionalDependencies }, sources)
