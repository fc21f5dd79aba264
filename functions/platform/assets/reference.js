// Starts the interactive API reference. The access token stays in the memory of the page.
"use strict";

const place = document.getElementById("reference");
const service = place.dataset.service;

window.ui = SwaggerUIBundle({
  url: place.dataset.document,
  domNode: place,
  // Links inside the buttons of operations would be unreachable for screen readers.
  deepLinking: false,
  docExpansion: service ? "list" : "none",
  filter: service || true,
  tryItOutEnabled: true,
  displayRequestDuration: true,
  defaultModelsExpandDepth: 0,
  supportedSubmitMethods: ["get", "post", "put", "patch", "delete"],
  validatorUrl: null,
  // Swagger UI gives the list of servers no name for screen readers.
  onComplete: () => document.getElementById("servers")?.setAttribute("aria-label", "Server"),
});
