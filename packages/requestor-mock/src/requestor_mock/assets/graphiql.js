// Starts GraphiQL with one tab per example. A file of its own, because the page's policy forbids
// inline scripts. GraphiQL keeps a visitor's tabs in the browser; the examples fill the first visit.
// Each has a name: GraphiQL needs one to know a subscription, which goes over a WebSocket.
const paymentId = "the paymentId that CreatePayment gave";

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
    variables: {
      input: {
        amount: "10.00",
        currency: "USD",
        customerId: "cust123",
        paymentMethod: "card",
        captureMethod: "manual",
        description: "Made in GraphiQL",
      },
    },
  },
  {
    query: `query ReadPayment($id: String!) {
  payment(paymentId: $id) {
    paymentId
    amount
    currency
    status
    allowedActions
    createdAt
    refunds {
      edges { node { refundId amount status reason } }
    }
    events {
      edges { node { version type occurredAt } }
    }
  }
}
`,
    variables: { id: paymentId },
  },
  {
    query: `mutation ProcessPayment($id: String!) {
  processPayment(paymentId: $id) {
    payment {
      status
      amountCapturable
      nextAction { type expiresAt }
      decline { code advice message }
    }
    operation { kind status amount }
  }
}
`,
    variables: { id: paymentId },
  },
  {
    query: `mutation CapturePayment(
  $id: String!
  $amount: String
  $final: Boolean! = false
) {
  capturePayment(paymentId: $id, amount: $amount, final: $final) {
    payment { status amountCaptured amountCapturable amountVoided }
    operation { kind status amount }
  }
}
`,
    variables: { id: paymentId, amount: "6.00", final: true },
  },
  {
    query: `mutation CompletePaymentAction($id: String!, $result: String! = "") {
  completePaymentAction(paymentId: $id, result: $result) {
    payment { status decline { code message } }
    operation { kind status amount }
  }
}
`,
    variables: { id: "the paymentId of a payment by card_3ds, processed", result: "approved" },
  },
  {
    query: `mutation CancelPayment($id: String!) {
  cancelPayment(paymentId: $id) {
    payment { status amountVoided }
    operation { kind status amount }
  }
}
`,
    variables: { id: paymentId },
  },
  {
    query: `mutation RefundPayment(
  $id: String!
  $amount: String
  $reason: String! = ""
) {
  refundPayment(paymentId: $id, amount: $amount, reason: $reason) {
    payment { status amountRefunded amountRefundPending amountRefundable }
    refund { refundId amount status reason }
  }
}
`,
    variables: { id: paymentId, amount: "2.50", reason: "one of the books" },
  },
  {
    query: `query ReadRefund($id: String!) {
  refund(refundId: $id) {
    refundId
    paymentId
    amount
    currency
    status
    reason
    updatedAt
  }
}
`,
    variables: { id: "the refundId that RefundPayment gave" },
  },
  {
    query: `query ListPayments(
  $first: Int! = 10
  $status: PaymentStatus
  $after: String
) {
  payments(first: $first, status: $status, after: $after) {
    edges {
      node {
        paymentId
        amount
        status
        refunds(first: 3) {
          edges { node { amount status } }
        }
      }
    }
    pageInfo { hasNextPage endCursor }
  }
}
`,
    variables: { first: 10 },
  },
  {
    query: `subscription WatchPayments(
  $customerId: String
  $cursor: String
  $fromBeginning: Boolean! = false
) {
  paymentEvents(
    customerId: $customerId
    cursor: $cursor
    fromBeginning: $fromBeginning
  ) {
    cursor
    event {
      type
      version
      occurredAt
      payment { paymentId status amount }
    }
  }
}
`,
    variables: { customerId: "cust123", fromBeginning: true },
  },
].map(({ query, variables }) => ({ query, variables: JSON.stringify(variables, null, 2) }));

const container = document.getElementById("graphiql");
const url = new URL(container.dataset.url, location.href);
const subscriptionUrl = new URL(url);
subscriptionUrl.protocol = url.protocol.replace("http", "ws");
// GraphiQL shows the open tab's query, but of its variables only what stands here.
const firstVisit = localStorage.getItem("graphiql:tabState") === null;

ReactDOM.createRoot(container).render(
  React.createElement(GraphiQL, {
    fetcher: GraphiQL.createFetcher({ url: url.href, subscriptionUrl: subscriptionUrl.href }),
    defaultTabs: examples,
    variables: firstVisit ? examples[0].variables : undefined,
    defaultEditorToolsVisibility: "variables",
    plugins: [GraphiQLPluginExplorer.explorerPlugin()],
  }),
);
