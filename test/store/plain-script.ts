import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const FOLDERS = ['lib', 'lib/protocol', 'lib/store', 'lib/testing']

/** Copies a script and what it may import to a folder as JavaScript, so that a process running it starts at once. */
export function plainScript (folder: string, script: string): string {
  const files = FOLDERS.flatMap((each) => readdirSync(join(ROOT, each)).filter((name) => name.endsWith('.ts')).map((name) => join(each, name)))
  for (const file of [script, ...files]) {
    const options = { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022, verbatimModuleSyntax: true }
    const { outputText } = ts.transpileModule(readFileSync(join(ROOT, file), 'utf8'), { compilerOptions: options })
    const to = join(folder, plain(file))
    mkdirSync(dirname(to), { recursive: true })
    writeFileSync(to, outputText)
  }
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }')
  return join(folder, plain(script))
}

function plain (file: string): string {
  return file.replace(/ts$/, 'js')
}
