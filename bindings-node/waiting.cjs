'use strict'
// The calls that wait for the native half.
const { closed, errorIn, guarded } = require('./errors.cjs')

class Waiting {
  #calls = []
  #free = []
  #count = 0
  #idle = []
  #ended = false
  // Keeps the process alive while calls wait, and not a moment longer.
  #alive = setInterval(() => {}, 0x7fffffff)

  constructor() {
    this.#alive.unref()
  }

  /** `start` is given a number, and gives an answer or null. */
  call(start) {
    if (this.#ended) return Promise.reject(closed())
    const slot = this.#free.length > 0 ? this.#free.pop() : this.#calls.length
    if (slot === this.#calls.length) this.#calls.push(undefined)
    let answer
    try {
      answer = guarded(() => start(slot))
    } catch (error) {
      this.#free.push(slot)
      return Promise.reject(error)
    }
    if (answer != null) {
      this.#free.push(slot)
      const error = errorIn(answer)
      return error ? Promise.reject(error) : Promise.resolve(answer)
    }
    if (this.#count++ === 0) this.#alive.ref()
    return new Promise((resolve, reject) => {
      this.#calls[slot] = { resolve, reject }
    })
  }

  /** Numbers and answers in turn. */
  settle(list) {
    for (let at = 0; at < list.length; at += 2) {
      const slot = list[at]
      const value = list[at + 1]
      const { resolve, reject } = this.#calls[slot]
      this.#calls[slot] = undefined
      this.#free.push(slot)
      this.#count--
      const error = errorIn(value)
      if (error) reject(error)
      else resolve(value)
    }
    if (this.#count === 0) {
      if (this.#ended) clearInterval(this.#alive)
      else this.#alive.unref()
      for (const resolve of this.#idle.splice(0)) resolve()
    }
  }

  /** Waits until none is under way. */
  idle() {
    return this.#count === 0 ? Promise.resolve() : new Promise((resolve) => this.#idle.push(resolve))
  }

  /** No call is taken any more; those under way are settled. */
  end() {
    this.#ended = true
    if (this.#count === 0) clearInterval(this.#alive)
  }
}

module.exports = { Waiting }
