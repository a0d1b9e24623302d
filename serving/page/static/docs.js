// The interface as a page, at /docs. A file of its own, since the page's policy allows no script inside it.
window.SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  validatorUrl: null,
});
