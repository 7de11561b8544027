// Renews the page in place every few seconds, so that focus, scroll position and open details stay as they are.
// Without this script the page is complete: its "Load again" link does the same by hand.
"use strict";

(() => {
  const EVERY_MS = 5000;
  const PATIENCE_MS = 10000;
  const REGIONS = ["asof", "announce", "main"];
  const main = document.getElementById("main");
  if (!main || !("live" in main.dataset)) {
    return;
  }

  const pause = document.createElement("button");
  pause.type = "button";
  pause.textContent = "Pause updates";
  pause.setAttribute("aria-pressed", "false");
  const trouble = document.createElement("p");
  trouble.className = "trouble";
  trouble.setAttribute("role", "alert");
  trouble.hidden = true;
  document.getElementById("controls").append(" ", pause);
  main.before(trouble);
  let paused = false;
  pause.addEventListener("click", () => {
    paused = !paused;
    pause.setAttribute("aria-pressed", String(paused));
    if (!paused) {
      renew();
    }
  });

  const sameKind = (one, other) =>
    one.nodeType === other.nodeType && one.nodeName === other.nodeName && (one.id || "") === (other.id || "");

  // Makes `old` what `fresh` is, and touches only what differs: a node that stays keeps its focus and its scroll position.
  function patch(old, fresh) {
    if (old.nodeType !== Node.ELEMENT_NODE) {
      if (old.nodeValue !== fresh.nodeValue) {
        old.nodeValue = fresh.nodeValue;
      }
      return;
    }
    for (const { name } of [...old.attributes]) {
      if (!fresh.hasAttribute(name) && name !== "open") {
        old.removeAttribute(name);
      }
    }
    for (const { name, value } of fresh.attributes) {
      if (old.getAttribute(name) !== value) {
        old.setAttribute(name, value);
      }
    }
    const byId = new Map([...old.children].filter((child) => child.id).map((child) => [child.id, child]));
    let place = old.firstChild;
    for (const wanted of [...fresh.childNodes]) {
      const known = wanted.id ? byId.get(wanted.id) : place;
      if (known && sameKind(known, wanted)) {
        if (known === place) {
          place = place.nextSibling;
        } else {
          old.insertBefore(known, place);
        }
        patch(known, wanted);
      } else {
        old.insertBefore(document.importNode(wanted, true), place);
      }
    }
    while (place) {
      const next = place.nextSibling;
      place.remove();
      place = next;
    }
  }

  function take(text) {
    const fresh = new DOMParser().parseFromString(text, "text/html");
    const focused = document.activeElement;
    for (const id of REGIONS) {
      const [old, now] = [document.getElementById(id), fresh.getElementById(id)];
      if (old && now) {
        patch(old, now);
      }
    }
    document.title = fresh.title;
    if (focused !== document.activeElement && focused.isConnected) {
      focused.focus({ preventScroll: true }); // it was moved, because the order of the rows changed
    }
  }

  function say(text) {
    if (trouble.textContent !== text) {
      trouble.textContent = text;
    }
    trouble.hidden = text === "";
  }

  async function renew() {
    try {
      const response = await fetch(location.href, { cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS) });
      if (!response.ok && response.status !== 404) {
        throw new Error(`it answers ${response.status}`);
      }
      take(await response.text());
      say("");
    } catch (error) {
      say(`The monitor cannot be reached: what stands here is as of the time above. (${error.message})`);
    }
  }

  async function keepRenewing() {
    const reading = document.hidden || paused || !getSelection().isCollapsed;
    if (!reading) {
      await renew();
    }
    setTimeout(keepRenewing, EVERY_MS);
  }

  setTimeout(keepRenewing, EVERY_MS);
})();
