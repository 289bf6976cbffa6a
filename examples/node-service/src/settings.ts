// Reads settings one by one and gathers what is wrong with them, so that the operator sees every mistake at once.
import { readFileSync } from 'node:fs'

/** The mistakes in the configuration, one line each. */
export class ConfigError extends Error {
  readonly mistakes: readonly string[]

  constructor(mistakes: readonly string[]) {
    super(mistakes.join('\n'))
    this.mistakes = mistakes
  }
}

export class Settings {
  readonly #env: NodeJS.ProcessEnv
  readonly #mistakes: string[] = []

  constructor(env: NodeJS.ProcessEnv) {
    this.#env = env
  }

  mistake(text: string): void {
    this.#mistakes.push(text)
  }

  /** A variable that is empty counts as not set. */
  text(name: string): string | undefined {
    return this.#env[name] || undefined
  }

  /** A text of a certain form, described by `allowed`. */
  matching(name: string, form: RegExp, allowed: string): string | undefined {
    const text = this.text(name)
    if (text === undefined || form.test(text)) return text
    this.mistake(`${name} must be ${allowed}`)
    return undefined
  }

  integer(name: string, min: number, max: number): number | undefined {
    const text = this.text(name)
    if (text === undefined) return undefined
    const number = /^\d{1,9}$/.test(text) ? Number(text) : NaN
    if (number >= min && number <= max) return number
    this.mistake(`${name} must be a whole number from ${min} to ${max}`)
    return undefined
  }

  word<W extends string>(name: string, words: readonly W[]): W | undefined {
    const text = this.text(name)
    if (text === undefined) return undefined
    const word = words.find((word) => word === text)
    if (word === undefined) this.mistake(`${name} must be one of ${words.join(', ')}`)
    return word
  }

  /** The text of the file that a variable names. */
  file(name: string): string | undefined {
    const path = this.text(name)
    if (path === undefined) return undefined
    try {
      return readFileSync(path, 'utf8')
    } catch (error) {
      this.mistake(`${name} must name a file that can be read: ${(error as Error).message}`)
      return undefined
    }
  }

  /** Throws if there was any mistake. */
  check(): void {
    if (this.#mistakes.length > 0) throw new ConfigError(this.#mistakes)
  }
}
