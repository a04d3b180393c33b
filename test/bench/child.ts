import { answer, commandsOf } from './process.js'

/** Entry of every process the bench forks: the role is the only argument. */
answer(await commandsOf(process.argv[2]))
