/** The element of the page with this id. */
export function byId<Type extends HTMLElement = HTMLElement> (id: string): Type {
  const element = document.getElementById(id)
  if (element === null) throw new Error(`the page has no #${id}`)
  return element as Type
}

/** A new element; text goes in as text. */
export function make<Tag extends keyof HTMLElementTagNameMap> (tag: Tag, className: string, ...content: Array<Node | string>): HTMLElementTagNameMap[Tag] {
  const element = document.createElement(tag)
  element.className = className
  element.append(...content)
  return element
}

let hide: ReturnType<typeof setTimeout> | undefined

/** Says something for a few seconds, to the ear as well. */
export function notice (text: string): void {
  const place = byId('notice')
  place.textContent = text
  place.classList.add('shown')
  clearTimeout(hide)
  hide = setTimeout(() => place.classList.remove('shown'), 4000)
}
