// Shows the health of each service on the overview page, and reads it again every 30 seconds.
"use strict";

const status = document.getElementById("health");
const root = document.querySelector(".brand").href;
const words = { healthy: "healthy", unhealthy: "not healthy" };

async function show() {
  try {
    const answer = await fetch(new URL("health", root), { headers: { accept: "application/json" } });
    const health = await answer.json();
    if (!health.services) {
      throw new Error(health.detail || "no answer");
    }
    for (const item of document.querySelectorAll("[data-service]")) {
      const state = health.services[item.dataset.service];
      const line = item.querySelector(".health");
      line.hidden = !state;
      line.textContent = words[state] || "";
      line.className = `health ${state || ""}`;
    }
    status.textContent = `The shop is ${health.status}.`;
  } catch (error) {
    status.textContent = "The health of the services is unknown at the moment.";
  }
}

show();
setInterval(show, 30000);
