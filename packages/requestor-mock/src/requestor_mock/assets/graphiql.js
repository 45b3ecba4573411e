// Starts GraphiQL with one tab per example. A file of its own, because the page's policy forbids
// inline scripts. GraphiQL keeps a visitor's tabs in the browser; the examples fill the first visit.
const examples = [
  {
    query: `mutation CreatePayment($input: PaymentInput!) {
  createPayment(payload: $input) {
    paymentId
    amount
    currency
    status
    createdAt
  }
}
`,
    variables: `{
  "input": {
    "amount": "10.00",
    "currency": "USD",
    "customerId": "cust123",
    "paymentMethod": "card",
    "description": "Made in GraphiQL"
  }
}`,
  },
  {
    query: `query ReadPayment($id: String!) {
  payment(paymentId: $id) {
    paymentId
    amount
    currency
    status
    createdAt
  }
}
`,
    variables: `{
  "id": "the paymentId that CreatePayment gave"
}`,
  },
];

const container = document.getElementById("graphiql");
// GraphiQL shows the open tab's query, but of its variables only what stands here.
const firstVisit = localStorage.getItem("graphiql:tabState") === null;

ReactDOM.createRoot(container).render(
  React.createElement(GraphiQL, {
    fetcher: GraphiQL.createFetcher({ url: container.dataset.url }),
    defaultTabs: examples,
    variables: firstVisit ? examples[0].variables : undefined,
    defaultEditorToolsVisibility: "variables",
    plugins: [GraphiQLPluginExplorer.explorerPlugin()],
  }),
);
