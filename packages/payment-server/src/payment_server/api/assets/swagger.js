// Starts Swagger UI. A file of its own, because the page's policy forbids inline scripts.
const container = document.getElementById("swagger-ui");

SwaggerUIBundle({
  domNode: container,
  url: container.dataset.url,
  deepLinking: true, // an operation has a link of its own
  displayRequestDuration: true,
  validatorUrl: null, // the validator is a service on the internet
});
