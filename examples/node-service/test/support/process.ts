// The service as a process of its own.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

import { Client } from './client.js'
import { API_KEYS } from './keys.js'

const MAIN = fileURLToPath(new URL('../../src/main.js', import.meta.url))

export interface Ended {
  code: number | null
  signal: string | null
  stdout: string
  stderr: string
}

export class ServiceProcess {
  readonly #child: ChildProcess
  readonly #lines: string[] = []
  readonly #waiting: { text: string; seen: (line: string) => void }[] = []
  #stderr = ''
  readonly ended: Promise<Ended>

  constructor(env: Readonly<Record<string, string>>, args: string[] = []) {
    // Nothing of the tests' environment but where to find programs.
    const { PATH = '' } = process.env
    this.#child = spawn(process.execPath, [MAIN, ...args], { env: { PATH, ...env }, stdio: ['ignore', 'pipe', 'pipe'] })
    const { stdout, stderr } = this.#child
    if (!stdout || !stderr) throw new Error('no pipes')
    createInterface(stdout).on('line', (line) => this.#read(line))
    stderr.on('data', (chunk) => (this.#stderr += String(chunk)))
    this.ended = once(this.#child, 'close').then(([code, signal]) => ({
      code: code as number | null,
      signal: signal as string | null,
      stdout: this.#lines.join('\n'),
      stderr: this.#stderr,
    }))
  }

  /** Starts one that can be called, on a port of its own. */
  static async listening(env: Readonly<Record<string, string>>): Promise<ServiceProcess & { client: Client; port: number }> {
    const service = new ServiceProcess({ PORT: '0', API_KEYS, ...env })
    const failed = service.ended.then(({ stderr }) => Promise.reject(new Error(`it did not start: ${stderr}`)))
    const line = await Promise.race([service.line('Server listening at'), failed])
    const port = Number(/:(\d+)"/.exec(line)?.[1])
    return Object.assign(service, { port, client: new Client(`http://127.0.0.1:${port}`) })
  }

  /** The first line of its log that holds a text, now or later. */
  line(text: string): Promise<string> {
    const seen = this.#lines.find((line) => line.includes(text))
    if (seen !== undefined) return Promise.resolve(seen)
    return new Promise((resolve) => this.#waiting.push({ text, seen: resolve }))
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal)
  }

  #read(line: string): void {
    this.#lines.push(line)
    for (const { text, seen } of this.#waiting) if (line.includes(text)) seen(line)
  }
}
